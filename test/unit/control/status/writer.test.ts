import { expect, it } from 'vitest';
import { silentLogger } from '../../../../src/base/log.ts';
import type { ConfigObject, Finding } from '../../../../src/control/source/collection.ts';
import { KubeError, type KubeRequest } from '../../../../src/control/source/kube/client.ts';
import { StatusWriter } from '../../../../src/control/status/writer.ts';
import { manualClock } from '../../../support/clock.ts';

const PATH = '/apis/networking.istio.io/v1/namespaces/default/virtualservices/reviews/status';
const BASE = {
  labels: {},
  annotations: {},
  createdAt: 0,
  resourceVersion: '1',
  raw: {},
  origin: { where: '', line: 0, lineOf: () => 0 },
};

function object(generation: number, kind = 'VirtualService', apiVersion = 'networking.istio.io/v1'): ConfigObject {
  return { ...BASE, apiVersion, kind, namespace: 'default', name: 'reviews', generation };
}

function rig() {
  const clock = manualClock();
  const state = {
    leading: true,
    objects: [object(1)] as ConfigObject[],
    findings: [] as Finding[],
    epoch: 1,
    proxies: [0, 0],
    /** The object as the API server has it. */
    stored: { metadata: { resourceVersion: '7', generation: 1 }, status: {} } as Record<string, unknown>,
    fails: 0,
  };
  const gets: string[] = [];
  const writes: { path: string; body: { metadata: object; status: Record<string, unknown> } }[] = [];
  const send = async ({ method = 'GET', path, body }: KubeRequest): Promise<unknown> => {
    if (method === 'GET') {
      gets.push(path);
      return structuredClone(state.stored);
    }
    if (state.fails-- > 0) throw new KubeError(409, 'Conflict', 'changed meanwhile', 0);
    const patch = body as (typeof writes)[number]['body'];
    writes.push({ path, body: patch });
    state.stored = { ...state.stored, status: { ...(state.stored.status as object), ...patch.status } };
    return null;
  };
  const writer = new StatusWriter({
    api: { send },
    clock,
    log: silentLogger(clock),
    leading: () => state.leading,
    objects: () => state.objects,
    findings: () => state.findings,
    epoch: () => state.epoch,
    appliedSince: (epoch) => {
      const applied = state.proxies.filter((one) => one >= epoch).length;
      return { applied, rejected: 0, pending: state.proxies.length - applied, of: state.proxies.length };
    },
  });
  writer.start();
  /** So many seconds, with all that is awaited in them. */
  const seconds = async (count: number): Promise<void> => {
    for (let i = 0; i < count * 20; i++) {
      clock.advance(50);
      for (let j = 0; j < 10; j++) await Promise.resolve();
    }
  };
  const conditions = () =>
    ((state.stored.status as { conditions?: Record<string, unknown>[] }).conditions ?? []).map(
      ({ type, status, reason, message }) => `${type} ${status} ${reason}: ${message}`,
    );
  return { clock, state, gets, writes, seconds, conditions, writer };
}

it('says how many proxies run by an object, and no more once all do', async () => {
  const { state, writes, seconds, conditions } = rig();
  await seconds(2);
  expect(conditions()).toEqual(['Accepted True Valid: ', 'Reconciled False Pending: applied by 0 of 2 proxies']);
  expect(writes[0]).toMatchObject({
    path: PATH,
    body: { metadata: { resourceVersion: '7' }, status: { observedGeneration: 1 } },
  });
  state.proxies = [1, 0];
  await seconds(2);
  state.proxies = [1, 1];
  await seconds(2);
  expect(conditions()[1]).toBe('Reconciled True Applied: applied by 2 of 2 proxies');
  expect(writes).toHaveLength(3);
  // Proxies come and go: no news of the object.
  state.proxies = [1, 1, 0];
  await seconds(2);
  state.proxies = [1];
  await seconds(5);
  expect(writes).toHaveLength(3);
});

it('begins anew with a new generation', async () => {
  const { state, writes, seconds, conditions } = rig();
  state.proxies = [1, 1];
  await seconds(2);
  expect(writes).toHaveLength(1);
  state.objects = [object(2)];
  state.stored = { ...state.stored, metadata: { resourceVersion: '9', generation: 2 } };
  state.epoch = 2;
  await seconds(2);
  expect(conditions()[1]).toBe('Reconciled False Pending: applied by 0 of 2 proxies');
  expect(state.stored.status).toMatchObject({ observedGeneration: 2 });
});

it('says what is wrong with an object', async () => {
  const { state, seconds, conditions } = rig();
  state.findings = [
    {
      severity: 'error',
      code: 'x',
      object: 'VirtualService default/reviews',
      field: 'spec.hosts',
      message: 'is needed',
      file: '',
      line: 0,
    },
  ];
  await seconds(2);
  expect(conditions()[0]).toBe('Accepted False Invalid: spec.hosts: is needed');
  expect(conditions()[1]).toMatch(/^Reconciled False Invalid/);
});

it('writes nothing that is there already, and only as the leader', async () => {
  const { state, gets, writes, seconds } = rig();
  state.leading = false;
  state.proxies = [1, 1];
  await seconds(3);
  expect([gets, writes]).toEqual([[], []]);
  state.leading = true;
  await seconds(2);
  expect(writes).toHaveLength(1);
  // Another leader in between, and this one again: it reads what is there.
  state.leading = false;
  await seconds(2);
  state.leading = true;
  state.proxies = [1, 1, 1];
  await seconds(2);
  expect(writes).toHaveLength(1);
});

it('tries again when somebody else was faster', async () => {
  const { state, writes, seconds, conditions } = rig();
  state.fails = 1;
  state.proxies = [1, 1];
  await seconds(4);
  expect(writes).toHaveLength(1);
  expect(conditions()[1]).toBe('Reconciled True Applied: applied by 2 of 2 proxies');
});

it('leaves the conditions of others, and writes policies as the Gateway API has them', async () => {
  const { state, writes, seconds } = rig();
  state.proxies = [1];
  state.stored = { ...state.stored, status: { conditions: [{ type: 'Other', status: 'True' }] } };
  await seconds(2);
  const { conditions } = writes[0]!.body.status as { conditions: { type: string }[] };
  expect(conditions.map(({ type }) => type)).toEqual(['Other', 'Accepted', 'Reconciled']);

  const policies = rig();
  policies.state.objects = [object(1, 'ResiliencePolicy', 'remora.dev/v1alpha1')];
  policies.state.proxies = [1];
  const targetRefs = [{ kind: 'Service', name: 'reviews' }];
  policies.state.stored = { metadata: { generation: 1 }, spec: { targetRefs }, status: {} };
  await policies.seconds(2);
  expect(policies.writes[0]?.body.status).toMatchObject({
    ancestors: [
      {
        ancestorRef: { group: '', kind: 'Service', name: 'reviews' },
        controllerName: 'remora.dev/control',
        conditions: [{}, {}],
      },
    ],
  });
  await policies.seconds(3);
  expect(policies.writes).toHaveLength(1);
});
