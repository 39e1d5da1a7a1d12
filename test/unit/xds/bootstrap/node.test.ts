import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readBootstrap } from '../../../../src/xds/bootstrap/bootstrap.ts';
import { encodeNode, formatNodeId, parseNodeId } from '../../../../src/xds/bootstrap/node.ts';
import { type ProxyFlags, proxyBootstrap, writeProxyBootstrap } from '../../../../src/xds/bootstrap/proxy-bootstrap.ts';
import { testContext } from '../resources/support.ts';

const ID = 'sidecar~10.1.2.3~reviews-v1-x.y.default~default.svc.cluster.local';

test('an id is taken apart and put together', () => {
  const identity = parseNodeId(ID);
  expect(identity).toEqual({
    type: 'sidecar',
    ip: '10.1.2.3',
    pod: 'reviews-v1-x.y',
    namespace: 'default',
    domain: 'default.svc.cluster.local',
  });
  expect(formatNodeId(identity!)).toBe(ID);
});

test.each(['', 'envoy-1', 'sidecar~1~a.b', 'proxy~1~a.b~c', 'sidecar~1~nodot~c', 'sidecar~1~a.b~c~d'])(
  'an id of another form is nobody: %j',
  (id) => {
    expect(parseNodeId(id)).toBeNull();
  },
);

const FLAGS: ProxyFlags = {
  type: 'router',
  control: 'control.local:15010',
  ip: '10.0.0.1',
  pod: 'gateway-1',
  namespace: 'default',
  labels: { app: 'gateway' },
};

test('the bootstrap that flags make is read without a word', () => {
  const result = readBootstrap(writeProxyBootstrap(FLAGS), testContext());
  expect(result).toMatchObject({
    ok: true,
    warnings: [],
    bootstrap: {
      admin: { host: '127.0.0.1', port: 15000 },
      ads: { delta: true, target: { kind: 'cluster', name: 'xds-grpc' } },
      listenerSource: { kind: 'ads' },
      clusterSource: { kind: 'ads' },
      clusters: [{ name: 'xds-grpc', discovery: { kind: 'STRICT_DNS' }, protocol: 'HTTP2' }],
    },
  });
});

test('the YAML says what the object says', () => {
  expect(parse(writeProxyBootstrap(FLAGS))).toEqual(proxyBootstrap(FLAGS));
});

test('the node goes out as the first request carries it', () => {
  const result = readBootstrap(
    writeProxyBootstrap({ ...FLAGS, delta: false, metadata: { PLATFORM: 'test' } }),
    testContext(),
  );
  if (!result.ok) throw new Error('unreachable');
  expect(encodeNode(result.bootstrap.node, '1.2.3')).toEqual({
    id: 'router~10.0.0.1~gateway-1.default~default.svc.cluster.local',
    cluster: 'gateway.default',
    metadata: expect.objectContaining({ NAMESPACE: 'default', LABELS: { app: 'gateway' }, PLATFORM: 'test' }),
    user_agent_name: 'remora',
    user_agent_version: '1.2.3',
  });
});
