import { describe, expect, it } from 'vitest';
import {
  DownstreamTlsContext,
  UpstreamTlsContext,
} from '../../../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { decodeDownstreamTls, decodeUpstreamTls } from '../../../../src/xds/resources/tls-context.ts';
import { pem } from '../../../support/certs/index.ts';
import { decodeTls, inlineCertificate, trusting } from '../../../support/tls.ts';

/** A secret's config source as Istio writes it. */
function agent(name: string, cluster = 'sds-grpc') {
  const grpc_services = [{ envoy_grpc: { cluster_name: cluster } }];
  const api_config_source = {
    api_type: 'GRPC',
    transport_api_version: 'V3',
    set_node_on_first_message_only: true,
    grpc_services,
  };
  return { name, sds_config: { api_config_source, initial_fetch_timeout: '0s', resource_api_version: 'V3' } };
}

function decode(certificate: object, validation: object = agent('ROOTCA')) {
  const common_tls_context = {
    tls_certificate_sds_secret_configs: [certificate],
    combined_validation_context: { default_validation_context: {}, validation_context_sds_secret_config: validation },
  };
  return decodeTls(UpstreamTlsContext, { common_tls_context }, (message, s) => decodeUpstreamTls(message, 'tls', s));
}

describe('where secrets come from', () => {
  it('is this process itself for the identity that Istio’s agent would serve', () => {
    const { model, errors, warnings } = decode(agent('default'));
    expect([errors, warnings]).toEqual([[], []]);
    expect(model.common.certificates).toEqual([{ kind: 'secret', name: 'default', from: 'agent' }]);
    expect(model.common.validation?.secret).toEqual({ name: 'ROOTCA', from: 'agent' });
  });

  it('is discovery for others', () => {
    const { model, errors } = decode({ name: 'web', sds_config: { ads: {}, resource_api_version: 'V3' } });
    expect(errors).toEqual([]);
    expect(model.common.certificates).toEqual([{ kind: 'secret', name: 'web', from: 'ads' }]);
  });

  it('is no file of its own, and what to do instead is said once', () => {
    const sds_config = { path_config_source: { path: '/x.yaml' }, resource_api_version: 'V3' };
    const at = 'tls.common_tls_context.tls_certificate_sds_secret_configs[0].sds_config.path_config_source';
    expect(decode({ name: 'a', sds_config }).errors).toEqual([
      `${at}: a secret in a file of its own is not supported: name the files of the certificate where the secret is named; they are watched`,
    ]);
  });

  it('is no other secret server, and the agent has no other secrets', () => {
    expect(decode(agent('default', 'vault')).errors.join()).toMatch(/a secret server of its own is not supported/);
    expect(decode(agent('file-cert:/x')).errors.join()).toMatch(
      /sds-grpc has default and ROOTCA here, not "file-cert:\/x"/,
    );
  });
});

describe('files that have no end', () => {
  const endless = { filename: '/dev/zero' };
  const big = { inline_bytes: Buffer.alloc(1024 * 1024 + 1).toString('base64') };
  const { certificate_chain, private_key } = inlineCertificate('server');

  it.each([
    ['tls_certificates[0].certificate_chain', { certificate_chain: endless, private_key }, {}, 1048576],
    ['tls_certificates[0].private_key', { certificate_chain, private_key: endless }, {}, 1048576],
    ['tls_certificates[0].password', { certificate_chain, private_key, password: endless }, {}, 1048576],
    ['validation_context.trusted_ca', { certificate_chain, private_key }, { trusted_ca: endless }, 1048576],
    [
      'validation_context.crl',
      { certificate_chain, private_key },
      { ...trusting('root-a'), crl: endless },
      16 * 1048576,
    ],
  ])('are refused as %s', (field, certificate, validation_context, limit) => {
    const common_tls_context = { tls_certificates: [certificate], validation_context };
    const { errors } = decodeTls(DownstreamTlsContext, { common_tls_context }, (message, s) =>
      decodeDownstreamTls(message, 'tls', undefined, s),
    );
    expect(errors).toEqual([
      `tls.common_tls_context.${field}.filename: cannot be read: /dev/zero has more than ${limit} bytes: it is not the file that is expected there`,
    ]);
  });

  it.each([
    ['certificate_chain', { certificate_chain: big, private_key }],
    ['private_key', { certificate_chain, private_key: big }],
  ])('nor is so much taken inline as %s', (field, certificate) => {
    const common_tls_context = { tls_certificates: [certificate] };
    const { errors } = decodeTls(DownstreamTlsContext, { common_tls_context }, (message, s) =>
      decodeDownstreamTls(message, 'tls', undefined, s),
    );
    expect(errors).toEqual([`tls.common_tls_context.tls_certificates[0].${field}: is larger than 1048576 bytes`]);
  });
});

it('a revocation list among the roots is refused where expiry is allowed, as one of its own is', () => {
  const trusted_ca = { inline_string: pem('root-a') + pem('crl-a') };
  const validation_context = { trusted_ca, allow_expired_certificate: true };
  const { errors } = decodeTls(UpstreamTlsContext, { common_tls_context: { validation_context } }, (message, s) =>
    decodeUpstreamTls(message, 'tls', s),
  );
  expect(errors).toEqual([
    'tls.common_tls_context.validation_context.trusted_ca: holds a revocation list, which is not supported beside allow_expired_certificate',
  ]);
});

describe('a context that verifies nobody', () => {
  const down = (common: object, more: object = {}) =>
    decodeTls(
      DownstreamTlsContext,
      { common_tls_context: { tls_certificates: [inlineCertificate('server')], ...common }, ...more },
      (message, s) => decodeDownstreamTls(message, 'tls', undefined, s),
    );
  const uri = [{ san_type: 'URI', matcher: { exact: 'spiffe://a/b' } }];

  it.each([
    ['match_typed_subject_alt_names', { match_typed_subject_alt_names: uri }],
    ['allow_expired_certificate', { allow_expired_certificate: true }],
    ['crl', { crl: { inline_string: pem('crl-a') } }],
  ])('is refused with %s, which a peer may write into its own certificate', (field, validation_context) => {
    const at = `tls.common_tls_context.validation_context.${field}`;
    expect(down({ validation_context }).errors).toEqual([`${at}: verifies nothing without roots: add trusted_ca`]);
    expect(down({ validation_context: { ...trusting('root-a'), ...validation_context } }).errors).toEqual([]);
  });

  it('may be a default that a secret completes', () => {
    const validation_context_sds_secret_config = agent('ROOTCA');
    const default_validation_context = { match_typed_subject_alt_names: uri };
    const combined_validation_context = { default_validation_context, validation_context_sds_secret_config };
    expect(down({ combined_validation_context }).errors).toEqual([]);
  });

  it('is warned of where a certificate is required', () => {
    const required = { require_client_certificate: true };
    for (const common of [{}, { validation_context: {} }])
      expect(down(common, required).warnings.join()).toContain(
        'tls.require_client_certificate: anybody’s certificate will do',
      );
    expect(down({ validation_context: trusting('root-a') }, required).warnings).toEqual([]);
    expect(down({}).warnings).toEqual([]);
  });
});

it('a certificate that has expired is named, and is no error', () => {
  const common_tls_context = { tls_certificates: [inlineCertificate('client-expired')] };
  const { errors, warnings } = decodeTls(DownstreamTlsContext, { common_tls_context }, (message, s) =>
    decodeDownstreamTls(message, 'tls', undefined, s),
  );
  expect(errors).toEqual([]);
  expect(warnings).toEqual([
    expect.stringMatching(/certificate_chain: "CN=client-expired.*" expired on \d{4}-\d\d-\d\d: peers refuse it$/),
  ]);
});
