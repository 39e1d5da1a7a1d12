import { describe, expect, it } from 'vitest';
import { readAppMetrics, readAppProbers } from '../../../../src/proxy/admin/app-probers.ts';

const read = (probers: unknown) => readAppProbers(JSON.stringify(probers));

describe('the probes of an application, as injection tells of them', () => {
  it('are read with their ports, paths, headers and timeouts', () => {
    const probers = {
      '/app-health/web/livez': {
        httpGet: { path: 'live', port: 80, scheme: 'HTTPS', httpHeaders: [{ name: 'Host', value: 'a b' }] },
        timeoutSeconds: 5,
      },
      '/app-health/web/readyz': { tcpSocket: { port: 81 } },
      '/app-lifecycle/web/prestopz': { grpc: { port: 82, service: 'x.Y' } },
    };
    expect(read(probers)).toEqual([
      {
        path: '/app-health/web/livez',
        action: { kind: 'http', port: 80, path: '/live', tls: true, headers: [['Host', 'a b']] },
        timeoutMs: 5000,
      },
      { path: '/app-health/web/readyz', action: { kind: 'tcp', port: 81 }, timeoutMs: 1000 },
      { path: '/app-lifecycle/web/prestopz', action: { kind: 'grpc', port: 82, service: 'x.Y' }, timeoutMs: 1000 },
    ]);
  });

  it.each([
    ['no JSON', '{', 'is not JSON'],
    ['a list', '[]', 'must be an object'],
    ['a path elsewhere', '{"/ready": {"tcpSocket": {"port": 1}}}', 'must be /app-health/<container>/<probe>'],
    ['no action', '{"/app-health/a/livez": {}}', 'has none of httpGet, tcpSocket, grpc'],
    ['no port', '{"/app-health/a/livez": {"tcpSocket": {"port": "http"}}}', 'port must be 1 to 65535'],
    [
      'a path that ends the line',
      '{"/app-health/a/livez": {"httpGet": {"port": 1, "path": "/ HTTP/1.1\\r\\nX: y"}}}',
      'path must be text',
    ],
    [
      'a header that ends its line',
      '{"/app-health/a/livez": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a", "value": "b\\nc: d"}]}}}',
      'must be text on one line',
    ],
    ['no time', '{"/app-health/a/livez": {"tcpSocket": {"port": 1}, "timeoutSeconds": 0}}', 'timeoutSeconds must be'],
  ])('are refused with a reason: %s', (_what, text, reason) => expect(() => readAppProbers(text)).toThrow(reason));

  it('tell where the application’s metrics are', () => {
    expect(readAppMetrics('{"scrape":"true","port":"9102","path":"/m"}')).toEqual({ port: 9102, path: '/m' });
    expect(readAppMetrics('{"scrape":"false","port":"9102"}')).toBeNull();
    expect(() => readAppMetrics('{"scrape":"true","port":"x"}')).toThrow('port must be');
  });
});
