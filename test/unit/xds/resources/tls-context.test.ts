import { describe, expect, it } from 'vitest';
import { UpstreamTlsContext } from '../../../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { decodeUpstreamTls } from '../../../../src/xds/resources/tls-context.ts';
import { decodeTls } from '../../../support/tls.ts';

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

  it('is no other secret server, and the agent has no other secrets', () => {
    expect(decode(agent('default', 'vault')).errors.join()).toMatch(/a secret server of its own is not supported/);
    expect(decode(agent('file-cert:/x')).errors.join()).toMatch(
      /sds-grpc has default and ROOTCA here, not "file-cert:\/x"/,
    );
  });
});
