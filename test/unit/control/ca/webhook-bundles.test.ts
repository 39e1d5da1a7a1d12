import { expect, it } from 'vitest';
import { silentLogger } from '../../../../src/base/log.ts';
import { WebhookBundles } from '../../../../src/control/ca/webhook-bundles.ts';
import { KubeError, type KubeRequest } from '../../../../src/control/source/kube/client.ts';
import { manualClock } from '../../../support/clock.ts';

const MUTATING = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/remora';
const VALIDATING = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/remora';

interface Webhook {
  readonly name: string;
  readonly clientConfig: { caBundle?: string };
}

function setup() {
  const clock = manualClock();
  const state = { leading: true, roots: 'R1', away: false, requests: 0, patches: 0 };
  const webhooks = (...names: string[]): Webhook[] => names.map((name) => ({ name, clientConfig: {} }));
  const stored = new Map([
    [MUTATING, webhooks('namespace.inject.remora.dev', 'pod.inject.remora.dev')],
    [VALIDATING, webhooks('validate.remora.dev')],
  ]);
  const api = {
    async send({ method = 'GET', path, body, contentType }: KubeRequest): Promise<unknown> {
      state.requests++;
      if (state.away) throw new KubeError(0, '', 'away');
      const found = stored.get(path);
      if (found === undefined) throw new KubeError(404, 'NotFound', 'not found');
      if (method === 'GET') return structuredClone({ webhooks: found });
      state.patches++;
      expect([method, contentType]).toEqual(['PATCH', 'application/json-patch+json']);
      for (const { op, path: at, value } of body as { op: string; path: string; value: string }[]) {
        const [, , i, ...rest] = at.split('/');
        if (op === 'test') expect([rest, value]).toEqual([['name'], found[Number(i)]!.name]);
        else {
          expect([op, rest]).toEqual(['add', ['clientConfig', 'caBundle']]);
          found[Number(i)]!.clientConfig.caBundle = value;
        }
      }
      return {};
    },
  };
  const { roots, leading } = { roots: () => state.roots, leading: () => state.leading };
  const bundles = new WebhookBundles({ api, clock, log: silentLogger(clock), name: 'remora', roots, leading });
  const settled = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
  return {
    clock,
    state,
    stored,
    bundles,
    written: () =>
      [...stored.values()]
        .flat()
        .map(({ clientConfig }) => Buffer.from(clientConfig.caBundle ?? '', 'base64').toString()),
    async refreshed() {
      bundles.refresh();
      await settled();
    },
    async later(ms: number) {
      clock.advance(ms);
      await settled();
    },
  };
}

it('every webhook trusts the roots, and others when they change', async () => {
  const { state, written, refreshed, later } = setup();
  await refreshed();
  expect(written()).toEqual(['R1', 'R1', 'R1']);
  expect(state.patches).toBe(2);
  await later(5_000);
  expect(state.patches, 'nothing to write').toBe(2);
  state.roots = 'R1R2';
  await refreshed();
  expect(written()).toEqual(['R1R2', 'R1R2', 'R1R2']);
});

it('who installs again takes it away for seconds', async () => {
  const { stored, written, refreshed, later } = setup();
  await refreshed();
  delete stored.get(MUTATING)![1]!.clientConfig.caBundle;
  await later(5_000);
  expect(written()).toEqual(['R1', 'R1', 'R1']);
});

it('only the leader writes, and only what there is', async () => {
  const { state, stored, written, refreshed, later } = setup();
  state.leading = false;
  await refreshed();
  state.leading = true;
  state.roots = '';
  await refreshed();
  expect(state.requests).toBe(0);
  stored.delete(VALIDATING);
  state.roots = 'R1';
  await refreshed();
  expect(written()).toEqual(['R1', 'R1']);
  state.leading = false;
  const { requests } = state;
  await later(60_000);
  expect(state.requests).toBe(requests);
});

it('goes on when the API server is back, and ends when it is closed', async () => {
  const { clock, state, bundles, written, refreshed, later } = setup();
  state.away = true;
  await refreshed();
  state.away = false;
  await later(5_000);
  expect(written()).toEqual(['R1', 'R1', 'R1']);
  await bundles.close();
  bundles.refresh();
  expect(clock.pending).toBe(0);
});
