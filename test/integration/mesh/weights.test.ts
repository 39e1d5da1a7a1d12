// Issue 3, pains row 37: no order of writes and no weight makes a 503 while somebody could answer.
import { describe, expect, it } from 'vitest';
import { type Mesh, mesh, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { Load } from '../../support/mesh-load.ts';
import { destinationRule, service, split, versions } from '../../support/mesh-yaml.ts';

function stand(): ReturnType<typeof mesh> {
  return mesh().yaml('services.yaml', service('reviews')).sidecar('reviews', 'v1').sidecar('reviews', 'v2');
}

function loadOn(it: Mesh): Load {
  return ends(new Load({ port: it.proxy('reviews-v1').outbound.port, target: 'http://reviews:9080/', clients: 2 }));
}

/** Resolves when both versions answer from now on, or only one. */
async function answering(load: Load, ...bodies: readonly string[]): Promise<void> {
  await until(`answers of ${bodies.join(' and ')} alone`, async () => {
    load.bodies.clear();
    await load.more(20);
    return [...load.bodies.keys()].sort().join() === bodies.join();
  });
}

it('weights that are all 0 are an even split', async () => {
  const it = ends(
    await stand()
      .yaml('rules.yaml', versions('reviews', 'v1', 'v2'))
      .yaml('reviews.yaml', split('reviews', { v1: 100, v2: 0 }))
      .start(),
  );
  const load = loadOn(it);
  await answering(load, 'reviews-v1');
  it.config.replace('reviews.yaml', split('reviews', { v1: 0, v2: 0 }));
  await answering(load, 'reviews-v1', 'reviews-v2');
  it.config.replace('reviews.yaml', split('reviews', { v1: 0, v2: 100 }));
  await answering(load, 'reviews-v2');
  await load.stop();
  expect(load.failures).toEqual(new Map());
});

it('a subset that loses its last instance, and gets it back, under load', async () => {
  const it = ends(
    await stand()
      .yaml('rules.yaml', versions('reviews', 'v1', 'v2'))
      .yaml('reviews.yaml', split('reviews', { v1: 50, v2: 50 }))
      .start(),
  );
  const load = loadOn(it);
  for (let i = 0; i < 10; i++) {
    it.proxy('reviews-v2').withdraw();
    await answering(load, 'reviews-v1');
    it.announce(it.proxy('reviews-v2'), { service: 'reviews', version: 'v2' });
    await answering(load, 'reviews-v1', 'reviews-v2');
  }
  await load.stop();
  console.log(`${load.sent} requests, ${load.failed} failed`);
  expect(load.failures).toEqual(new Map());
});

/** The objects of a canary, in every order in which they can be written. */
const FILES = {
  rules: versions('reviews', 'v1', 'v2'),
  routes: split('reviews', { v1: 50, v2: 50 }),
  moreRules: destinationRule('reviews', {
    subsets: ['v1', 'v2', 'canary'].map((name) => ({ name, labels: { version: name === 'canary' ? 'v2' : name } })),
  }),
  moreRoutes: split('reviews', { v1: 50, canary: 50 }),
};

describe('a VirtualService and its DestinationRule', () => {
  it.each([
    ['the rule first', ['rules', 'routes']],
    ['the routes first', ['routes', 'rules']],
  ] as const)('%s: no request fails, far apart or together', async (_name, order) => {
    const it = ends(await stand().start());
    const load = loadOn(it);
    await answering(load, 'reviews-v1', 'reviews-v2');
    for (const apart of [true, false]) {
      for (const which of order) {
        it.config.replace(`${which}.yaml`, FILES[which]);
        if (apart) await load.more(100);
      }
      await it.routed('|v2|');
      await load.more(50);
      // A subset more, routes first or last, and both gone again.
      for (const which of order) {
        it.config.replace(`${which}.yaml`, which === 'rules' ? FILES.moreRules : FILES.moreRoutes);
        if (apart) await load.more(100);
      }
      await it.routed('|canary|');
      await load.more(50);
      for (const which of order) {
        it.config.remove(`${which}.yaml`);
        if (apart) await load.more(100);
      }
      await until('all as before', () => it.proxy('reviews-v1').clusters.every((name) => !name.includes('|canary|')));
    }
    await load.stop();
    console.log(`${load.sent} requests, ${load.failed} failed`);
    expect(load.failures).toEqual(new Map());
    expect(await it.findings()).toEqual([]);
  });
});

it('what waits for its other half says so, and a typing error does not take down what works', async () => {
  const it = ends(
    await stand()
      .yaml('rules.yaml', versions('reviews', 'v1', 'v2'))
      .start(),
  );
  it.config.replace('reviews.yaml', split('reviews', { v2: 100 }));
  const load = loadOn(it);
  await answering(load, 'reviews-v2');
  it.config.replace('reviews.yaml', split('reviews', { v22: 100 }));
  expect(await it.finding('missing-subset')).toMatchObject({
    severity: 'error',
    object: 'VirtualService default/reviews',
    field: 'spec.http[0].route[0].destination.subset',
  });
  expect((await it.finding('waits-for-subset')).message).toContain('its former version stays in force');
  await answering(load, 'reviews-v2');
  // The rules that it names go away: they stay as long as it names them.
  it.config.remove('rules.yaml');
  it.config.replace('reviews.yaml', split('reviews', { v1: 50, v2: 50 }));
  await it.log.until(/while VirtualService default\/reviews names its subsets/);
  await answering(load, 'reviews-v1', 'reviews-v2');
  it.config.remove('reviews.yaml');
  await until('nothing is held', async () => (await it.findings()).length === 0);
  await until('no subsets', () => it.proxy('reviews-v1').clusters.every((name) => !name.includes('|v1|')));
  await load.stop();
  expect(load.failures).toEqual(new Map());
});
