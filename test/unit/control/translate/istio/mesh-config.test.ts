import { describe, expect, it } from 'vitest';
import { examine } from '../../../../../src/control/analyze/examine.ts';
import { DEFAULT_SETTINGS } from '../../../../../src/control/mesh/settings.ts';
import { formatFinding } from '../../../../../src/control/source/collection.ts';
import { readObjects } from '../../../../../src/control/source/files/yaml.ts';
import { meshConfig } from '../../../../../src/control/translate/istio/fields/mesh-config.ts';
import { apiFields } from '../../../../support/istio-api.ts';

function configMap(mesh: string, metadata: object = { name: 'istio', namespace: 'istio-system' }): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { mesh } });
}

function read(...texts: string[]) {
  const objects = texts.flatMap((text, i) => readObjects(text, `${i}.yaml`).objects);
  const { mesh, findings } = examine({ objects, findings: [] });
  return { settings: mesh.settings, findings: findings.map((one) => `${one.severity} ${formatFinding(one)}`) };
}

describe('MeshConfig', () => {
  it('has every field of the API', () => {
    const fields = apiFields().filter(({ resource }) => resource === 'MeshConfig');
    expect(fields).not.toEqual([]);
    expect(Object.keys(meshConfig.fields).sort()).toEqual(fields.map(({ field }) => field).sort());
  });

  it('is what the ConfigMap istio says, over the defaults', () => {
    const { settings, findings } = read(
      configMap(
        [
          'accessLogFile: /var/log/mesh.log',
          'accessLogFormat: "%PROTOCOL%"',
          'outboundTrafficPolicy: { mode: REGISTRY_ONLY }',
          'enableAutoMtls: false',
          'rootNamespace: mesh-root',
          'connectTimeout: 1.5s',
          'dnsRefreshRate: 5s',
          'defaultHttpRetryPolicy: { attempts: 4, retryOn: "5xx,503", perTryTimeout: 2s }',
          'trustDomain: cluster.local',
          'tcpKeepalive: { probes: 3, time: 60s }',
          'defaultServiceExportTo: ["."]',
          'defaultVirtualServiceExportTo: ["*"]',
          'defaultDestinationRuleExportTo: [a, b]',
          'defaultConfig: { holdApplicationUntilProxyStarts: false, proxyMetadata: { ISTIO_META_DNS_CAPTURE: "true" } }',
        ].join('\n'),
      ),
    );
    expect(findings).toEqual([]);
    expect(settings).toEqual({
      outbound: 'REGISTRY_ONLY',
      accessLog: { path: '/var/log/mesh.log', format: '%PROTOCOL%\n' },
      connectTimeoutMs: 1500,
      dnsRefreshMs: 5000,
      autoMtls: false,
      rootNamespace: 'mesh-root',
      retries: { attempts: 4, retryOn: '5xx,503', perTryTimeoutMs: 2000, backoffMs: 0, ignorePreviousHosts: true },
      keepAlive: { probes: 3, timeMs: 60_000, intervalMs: null },
      exportTo: { services: ['.'], virtualServices: ['*'], destinationRules: ['a', 'b'] },
      proxyConfig: { holdApplicationUntilProxyStarts: false, proxyMetadata: { ISTIO_META_DNS_CAPTURE: 'true' } },
    });
  });

  it('writes access logs as JSON, of Istio’s fields or its own, or none', () => {
    expect(read(configMap('accessLogEncoding: JSON')).settings.accessLog).toMatchObject({
      path: '/dev/stdout',
      format: { response_code: '%RESPONSE_CODE%', upstream_host: '%UPSTREAM_HOST%' },
    });
    const own = read(configMap(`accessLogEncoding: JSON\naccessLogFormat: '{"code": "%RESPONSE_CODE%"}'`));
    expect(own.settings.accessLog?.format).toEqual({ code: '%RESPONSE_CODE%' });
    expect(read(configMap('accessLogFile: ""')).settings.accessLog).toBeNull();
    expect(read(configMap('accessLogEncoding: JSON\naccessLogFormat: plain')).findings).toEqual([
      'error 0.yaml:1 ConfigMap istio-system/istio data.mesh.accessLogFormat: with accessLogEncoding JSON the format is a JSON object of names and operators',
    ]);
  });

  it('says of every field without effect that it has none', () => {
    const { settings, findings } = read(
      configMap('protocolDetectionTimeout: 5s\ntrustDomain: example.org\nmeshMTLS: { minProtocolVersion: TLSV1_3 }'),
    );
    expect(settings).toEqual(DEFAULT_SETTINGS);
    expect(findings).toEqual([
      'warning 0.yaml:1 ConfigMap istio-system/istio data.mesh.protocolDetectionTimeout: protocolDetectionTimeout has no effect: it is not needed: whoever speaks first says what a connection is',
      'warning 0.yaml:1 ConfigMap istio-system/istio data.mesh.meshMTLS: meshMTLS has no effect: TLS 1.2 and 1.3 are spoken, with Istio’s ciphers',
      'warning 0.yaml:1 ConfigMap istio-system/istio data.mesh.trustDomain: trustDomain has no effect: certificates are of the control server’s --trust-domain; give it there',
    ]);
  });

  it('is refused as a whole for an unknown field or a wrong value', () => {
    const { settings, findings } = read(
      configMap('connectTimout: 1s\nrootNamespace: other\noutboundTrafficPolicy: { mode: DENY }'),
    );
    expect(settings).toEqual(DEFAULT_SETTINGS);
    expect(findings).toEqual([
      'error 0.yaml:1 ConfigMap istio-system/istio data.mesh.connectTimout: unknown field "connectTimout": did you mean "connectTimeout"?',
      'error 0.yaml:1 ConfigMap istio-system/istio data.mesh.outboundTrafficPolicy.mode: expected one of REGISTRY_ONLY, ALLOW_ANY, got "DENY"',
    ]);
  });

  it('checks what it says of objects and of pods, as they say it themselves', () => {
    const { findings } = read(
      configMap(
        'defaultServiceExportTo: ["*", shop]\ndefaultConfig: { terminationDrainDuration: soon, concurrency: 2, holdApp: true }',
      ),
    );
    const at = '0.yaml:1 ConfigMap istio-system/istio data.mesh';
    expect(findings).toEqual([
      `error ${at}.defaultServiceExportTo[0]: "*" excludes every other value`,
      `error ${at}.defaultConfig.terminationDrainDuration: must be a duration in seconds, such as 45s, got "soon"`,
      `warning ${at}.defaultConfig.concurrency: has no effect: the number of the proxy’s workers is the mesh’s: leave it out`,
      `error ${at}.defaultConfig.holdApp: is no field of ProxyConfig`,
    ]);
  });

  it('says who sees services, VirtualServices and DestinationRules that do not say it', () => {
    const object = (kind: string, name: string, spec: object, annotations: object = {}): string =>
      JSON.stringify({
        apiVersion: kind === 'Service' ? 'v1' : 'networking.istio.io/v1',
        kind,
        metadata: { name, namespace: 'shop', annotations },
        spec,
      });
    const ports = [{ name: 'http', port: 80 }];
    const entry = { hosts: ['x.example.com'], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }] };
    const route = [{ route: [{ destination: { host: 'web' } }] }];
    const exportsBy = (mesh: string) => {
      const texts = [
        object('Service', 'web', { clusterIP: '10.96.0.1', ports }),
        object('Service', 'open', { clusterIP: '10.96.0.2', ports }, { 'networking.istio.io/exportTo': '*' }),
        object('ServiceEntry', 'x', { ...entry, resolution: 'DNS' }),
        object('VirtualService', 'web', { hosts: ['web'], http: route }),
        object('VirtualService', 'open', { hosts: ['open'], http: route, exportTo: ['*'] }),
        object('DestinationRule', 'web', { host: 'web', trafficPolicy: {} }),
      ];
      const objects = [...texts, configMap(mesh)].flatMap((text, i) => readObjects(text, `${i}.yaml`).objects);
      const { mesh: made } = examine({ objects, findings: [] });
      return [...made.services.values(), ...made.routes, ...made.policies].map(({ exportTo }) => exportTo.join());
    };
    expect(exportsBy('connectTimeout: 1s')).toEqual(['*', '*', '*', '*', '*', '*']);
    expect(exportsBy('defaultServiceExportTo: ["."]')).toEqual(['*', 'shop', 'shop', '*', '*', '*']);
    const lists = 'defaultVirtualServiceExportTo: [edge, "."]\ndefaultDestinationRuleExportTo: ["~"]';
    expect(exportsBy(lists).slice(3).sort()).toEqual(['', '*', 'edge,shop']);
  });

  it('is the oldest of several, and no business of other ConfigMaps', () => {
    const at = (name: string, namespace: string, creationTimestamp: string) => ({ name, namespace, creationTimestamp });
    const { settings, findings } = read(
      configMap('connectTimeout: 2s', at('istio', 'a', '2026-01-02T00:00:00Z')),
      configMap('connectTimeout: 1s', at('istio', 'b', '2026-01-01T00:00:00Z')),
      configMap('nonsense', at('other', 'b', '2026-01-01T00:00:00Z')),
    );
    expect(settings.connectTimeoutMs).toBe(1000);
    expect(findings).toEqual([
      'warning 0.yaml:1 ConfigMap a/istio data.mesh: ConfigMap b/istio is the mesh’s config, which counts; this one has no effect',
    ]);
  });
});
