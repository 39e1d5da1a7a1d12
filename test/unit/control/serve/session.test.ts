import { describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../../../src/base/log.ts';
import { type AdsMode, deltaWire, sotwWire } from '../../../../src/control/serve/delta.ts';
import { proxyNode } from '../../../../src/control/serve/node.ts';
import { Session, SessionLimitError, type SessionRequest } from '../../../../src/control/serve/session.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE, shortName } from '../../../../src/control/serve/type-urls.ts';
import { decode, Problems } from '../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../../../src/xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { DeltaDiscoveryResponse, DiscoveryResponse } from '../../../../src/xds/proto/gen/envoy/service/discovery/v3.ts';
import { manualClock } from '../../../support/clock.ts';
import { edsCluster, endpoints, httpListener, routesTo, TestSource } from '../../../support/control-plane.ts';

interface Push {
  /** `CDS a b -c`: what it brings and what it takes away. */
  readonly text: string;
  readonly typeUrl: string;
  readonly nonce: string;
}

function rig(mode: AdsMode) {
  const clock = manualClock();
  const source = new TestSource();
  const pushes: Push[] = [];
  /** Of the last push of each type. */
  const nonces = new Map<string, string>();
  const pushed = (typeUrl = '', nonce = '', names: (string | undefined)[] = []) => {
    nonces.set(typeUrl, nonce);
    pushes.push({ text: [shortName(typeUrl), ...names].join(' '), typeUrl, nonce });
  };
  const named = (bytes: Uint8Array | undefined, type: typeof Cluster | typeof ClusterLoadAssignment) => {
    const message = decode<Cluster & ClusterLoadAssignment>(type, bytes ?? new Uint8Array(), new Problems(), '', {
      validate: false,
    });
    return message.cluster_name ?? message.name ?? '';
  };
  const send = (bytes: Uint8Array) => {
    if (mode === 'delta') {
      const r = decode(DeltaDiscoveryResponse, bytes, new Problems());
      const names = [
        ...(r.resources ?? []).map(({ name }) => name),
        ...(r.removed_resources ?? []).map((name) => `-${name}`),
      ];
      pushed(r.type_url, r.nonce, names);
      return;
    }
    const r = decode(DiscoveryResponse, bytes, new Problems());
    // A name is field 1 of each but the assignment's, which is field 1 too, under its own name.
    const names = (r.resources ?? []).map((any) =>
      named(any.value, any.type_url === ENDPOINT ? ClusterLoadAssignment : Cluster),
    );
    pushed(r.type_url, r.nonce, names);
  };
  source.put(edsCluster('a'), endpoints('a', 1), httpListener('in', 80, 'web'), routesTo('web', 'a'));
  const wire = mode === 'delta' ? deltaWire({}) : sotwWire({});
  const session = new Session({
    node: proxyNode(undefined),
    wire,
    source,
    clock,
    log: silentLogger(clock),
    gateMs: 15_000,
    send,
    answered: () => {},
  });
  const request = (typeUrl: string, more: Partial<SessionRequest> = {}) =>
    session.request({
      typeUrl,
      nonce: '',
      error: undefined,
      names: mode === 'sotw' ? [] : null,
      subscribe: [],
      unsubscribe: [],
      versions: {},
      ...more,
    });
  const names = new Map<string, string[]>();
  const subscribe = (typeUrl: string, ...wanted: string[]) => {
    const nonce = nonces.get(typeUrl) ?? '';
    if (mode === 'sotw') request(typeUrl, { names: wanted, nonce });
    else request(typeUrl, { subscribe: wanted });
    names.set(typeUrl, wanted);
  };
  const answer = ({ typeUrl, nonce }: Push, error?: string) =>
    request(typeUrl, {
      nonce,
      ...(mode === 'sotw' ? { names: names.get(typeUrl) ?? [] } : {}),
      ...(error === undefined ? {} : { error: { code: 3, message: error } }),
    });
  /** The pushes since the last call. */
  const take = () => pushes.splice(0);
  const texts = () => take().map(({ text }) => text);
  /** ACKs everything until nothing more comes; returns what came. */
  const settle = () => {
    const seen: string[] = [];
    for (let batch = take(); batch.length > 0; batch = take()) {
      for (const push of batch) {
        seen.push(push.text);
        // As a proxy does: clusters are followed by a subscription to their endpoints.
        if (push.typeUrl === CLUSTER) {
          const services = push.text
            .split(' ')
            .slice(1)
            .filter((name) => !name.startsWith('-'));
          const all = mode === 'sotw' ? services : [...new Set([...(names.get(ENDPOINT) ?? []), ...services])];
          const fresh = all.filter((name) => !names.get(ENDPOINT)?.includes(name));
          if (mode === 'sotw' || fresh.length > 0)
            request(
              ENDPOINT,
              mode === 'sotw' ? { names: all, nonce: nonces.get(ENDPOINT) ?? '' } : { subscribe: fresh },
            );
          names.set(ENDPOINT, all);
        }
        answer(push);
      }
    }
    return seen;
  };
  const start = () => {
    request(CLUSTER);
    request(LISTENER);
    subscribe(ROUTE, 'web');
    return settle();
  };
  return { clock, source, session, pushes, request, subscribe, answer, take, texts, settle, start };
}

describe.each(['sotw', 'delta'] as const)('session, %s', (mode) => {
  it('sends clusters and endpoints first, and listeners and routes when those are ACKed', () => {
    const { request, subscribe, take, texts, answer } = rig(mode);
    request(CLUSTER);
    request(LISTENER);
    const [clusters] = take();
    expect(clusters?.text).toBe('CDS a');
    subscribe(ENDPOINT, 'a');
    // Envoy ACKs a cluster only when it has the endpoints: they must not wait for the ACK.
    const [assignment] = take();
    expect(assignment?.text).toBe('EDS a');
    answer(clusters as Push);
    expect(texts()).toEqual([]);
    answer(assignment as Push);
    expect(texts()).toEqual(['LDS in']);
  });

  it('makes nobody wait for clusters who does not ask for any', () => {
    const { request, subscribe, texts } = rig(mode);
    request(LISTENER);
    subscribe(ROUTE, 'web');
    expect(texts()).toEqual(['LDS in', 'RDS web']);
  });

  it('adds in order and removes afterwards', () => {
    const { start, source, session, settle } = rig(mode);
    start();
    source
      .put(edsCluster('b'), endpoints('b', 2), routesTo('web', 'b'))
      .remove(Cluster, 'a')
      .remove(ClusterLoadAssignment, 'a');
    session.refresh('config');
    const seen = settle();
    if (mode === 'delta') expect(seen).toEqual(['CDS b', 'EDS b', 'RDS web', 'CDS -a', 'EDS -a']);
    else expect(seen).toEqual(['CDS b a', 'EDS b', 'RDS web', 'CDS b']);
    expect(session.applied).toBe(session.target.version);
  });

  it('sends only what changed of what was asked for', () => {
    const { start, source, session, settle } = rig(mode);
    start();
    source.put(endpoints('a', 3), endpoints('other', 4), routesTo('other', 'a'));
    session.refresh('config');
    expect(settle()).toEqual(['EDS a']);
    session.refresh('config');
    expect(settle()).toEqual([]);
  });

  it('has one push of a type in flight, and then sends the latest state', () => {
    const { start, source, session, take, texts, answer } = rig(mode);
    start();
    source.put(endpoints('a', 1, 2));
    session.refresh('endpoints');
    const [first] = take();
    for (let port = 3; port < 100; port++) {
      source.put(endpoints('a', port));
      session.refresh('endpoints');
    }
    expect(texts()).toEqual([]);
    answer(first as Push);
    const second = take();
    expect(second.map(({ text }) => text)).toEqual(['EDS a']);
    answer(second[0] as Push);
    expect(texts()).toEqual([]);
    expect(session.applied).toBe(session.target.version);
  });

  it('sends endpoints at once while a config push is in flight', () => {
    const { start, source, session, take, texts } = rig(mode);
    start();
    source.put(edsCluster('b'), endpoints('b', 2));
    session.refresh('config');
    take();
    source.put(endpoints('a', 9));
    session.refresh('endpoints');
    expect(texts()).toEqual(['EDS a']);
  });

  it('finishes one config before it begins the next', () => {
    const { start, source, session, take, texts, subscribe, answer } = rig(mode);
    start();
    source.put(edsCluster('b'), endpoints('b', 2), routesTo('web', 'b'));
    session.refresh('config');
    const [clusters] = take();
    source.put(edsCluster('c'), endpoints('c', 3), routesTo('web', 'c'));
    session.refresh('config');
    if (mode === 'sotw') subscribe(ENDPOINT, 'a', 'b');
    else subscribe(ENDPOINT, 'b');
    const [assignment] = take();
    answer(assignment as Push);
    answer(clusters as Push);
    const [routes] = take();
    expect(routes?.text).toBe('RDS web');
    answer(routes as Push);
    expect(texts()[0]).toMatch(/^CDS .*c/);
  });

  it('sends the endpoints of a changed cluster again, because it warms anew', () => {
    const { start, source, session, settle } = rig(mode);
    start();
    source.put(edsCluster('a', { connect_timeout: 9000 }));
    session.refresh('config');
    expect(settle()).toEqual(['CDS a', 'EDS a']);
  });

  it('does not send again what was NACKed, keeps what the old routes need, and recovers', () => {
    const { start, source, session, take, texts, settle, answer, subscribe } = rig(mode);
    start();
    source.put(edsCluster('b'), endpoints('b', 2), routesTo('web', 'b')).remove(Cluster, 'a');
    session.refresh('config');
    for (let done = false; !done; ) {
      const batch = take();
      for (const push of batch) {
        done ||= push.typeUrl === ROUTE;
        if (push.typeUrl === CLUSTER) subscribe(ENDPOINT, 'a', 'b');
        answer(push, push.typeUrl === ROUTE ? 'RDS "web": no' : undefined);
      }
      if (batch.length === 0) break;
    }
    // Cluster a is gone from the snapshot, but the routes in force lead there.
    expect(texts()).toEqual([]);
    expect(session.types.get(ROUTE)?.nacked?.reason).toBe('RDS "web": no');
    expect(session.types.get(CLUSTER)?.sent.has('a')).toBe(true);
    expect(session.applied).not.toBe(session.target.version);
    session.refresh('config');
    expect(texts()).toEqual([]);
    source.put(routesTo('web', 'b', 'b'));
    session.refresh('config');
    expect(settle()).toEqual(mode === 'delta' ? ['RDS web', 'CDS -a'] : ['RDS web', 'CDS b']);
    expect(session.types.get(ROUTE)?.nacked).toBeNull();
    expect(session.applied).toBe(session.target.version);
  });

  it('lets routes out after 15 s when clusters are not ACKed', () => {
    const { start, source, session, take, texts, clock } = rig(mode);
    start();
    source.put(edsCluster('b'), endpoints('b', 2), routesTo('web', 'b'));
    session.refresh('config');
    expect(take().map(({ text }) => text.slice(0, 3))).toEqual(['CDS']);
    clock.advance(14_999);
    expect(texts()).toEqual([]);
    clock.advance(1);
    expect(texts()).toEqual(['RDS web']);
    session.close();
  });

  it('answers a wildcard even when there is nothing', () => {
    const { request, source, session, texts } = rig(mode);
    source.remove(Listener, 'in');
    session.refresh('config');
    request(LISTENER);
    expect(texts()).toEqual(['LDS']);
  });

  it('takes no names of a type without wildcard for nothing', () => {
    const { request, texts } = rig(mode);
    request(ENDPOINT);
    request(ROUTE);
    expect(texts()).toEqual([]);
  });

  it('sends a resource that comes into being after it was asked for', () => {
    const { start, source, session, subscribe, settle } = rig(mode);
    start();
    subscribe(ROUTE, 'web', 'later');
    settle();
    source.put(routesTo('later', 'a'));
    session.refresh('config');
    expect(settle()).toEqual(['RDS later']);
  });

  it('sends a resource again that was unsubscribed and subscribed', () => {
    const { start, request, texts, subscribe } = rig(mode);
    start();
    if (mode === 'sotw') subscribe(ENDPOINT);
    else request(ENDPOINT, { unsubscribe: ['a'] });
    expect(texts()).toEqual([]);
    subscribe(ENDPOINT, 'a');
    expect(texts()).toEqual(['EDS a']);
  });

  it('bounds types and names', () => {
    const { request } = rig(mode);
    expect(() => {
      for (let i = 0; i < 40; i++) request(`type.googleapis.com/t${i}`);
    }).toThrow(SessionLimitError);
    const many = Array.from({ length: 100_001 }, (_, i) => `n${i}`);
    expect(() => rig(mode).request(ENDPOINT, mode === 'sotw' ? { names: many } : { subscribe: many })).toThrow(
      SessionLimitError,
    );
  });
});

describe('session, sotw only', () => {
  it('passes over a request with a stale nonce', () => {
    const { start, source, session, take, request, texts } = rig('sotw');
    start();
    source.put(endpoints('a', 7), endpoints('b', 8));
    session.refresh('endpoints');
    const [push] = take();
    request(ENDPOINT, { names: ['a', 'b'], nonce: 'stale' });
    expect(texts()).toEqual([]);
    request(ENDPOINT, { names: ['a', 'b'], nonce: push?.nonce ?? '' });
    expect(texts()).toEqual(['EDS b']);
  });

  it('ends the wildcard when a name is said', () => {
    const { source, session, request, take, texts } = rig('sotw');
    source.put(edsCluster('b'), endpoints('b', 2));
    session.refresh('config');
    request(CLUSTER);
    const nonce = () => take().at(-1)?.nonce ?? '';
    request(CLUSTER, { nonce: nonce(), names: ['b'] });
    const push = take();
    expect(push.map(({ text }) => text)).toEqual(['CDS b']);
    request(CLUSTER, { nonce: push[0]?.nonce ?? '', names: [] });
    expect(texts()).toEqual(['CDS']);
  });
});

describe('session, delta only', () => {
  it('sends a resumed stream only what is new and what is gone', () => {
    const { request, session, texts, take, answer } = rig('delta');
    const version = session.target.resources.get(CLUSTER)?.get('a')?.version ?? '';
    request(CLUSTER, { versions: { a: version, gone: 'x' } });
    const [first] = take();
    expect(first?.text).toBe('CDS');
    answer(first as Push);
    expect(texts()).toEqual(['CDS -gone']);
    request(ENDPOINT, { subscribe: ['a'], versions: { a: 'old' } });
    expect(texts()).toEqual(['EDS a']);
  });

  it('is silent to a stream that has everything', () => {
    const { request, session, texts } = rig('delta');
    const version = session.target.resources.get(ENDPOINT)?.get('a')?.version ?? '';
    request(ENDPOINT, { subscribe: ['a'], versions: { a: version } });
    expect(texts()).toEqual([]);
  });

  it('looks at endpoints alone when these are ACKed and nothing waited for them', () => {
    const { start, source, session, take, answer, request } = rig('delta');
    start();
    source.put(endpoints('a', 2));
    session.refresh('endpoints');
    const [push] = take();
    answer(push as Push);
    // So that there is one snapshot to look at.
    session.refresh('config');
    expect(session.applied).toBe(session.target.version);
    const looked = vi.spyOn(session.target.resources, 'get');
    const lookedAt = (act: () => void): string[] => {
      looked.mockClear();
      act();
      return [...new Set(looked.mock.calls.map(([url]) => shortName(url)))];
    };
    // Once more, so that what the ACK settles is not looked for either.
    expect(lookedAt(() => answer(push as Push))).toEqual(['EDS']);
    expect(lookedAt(() => request(ENDPOINT, { subscribe: ['b'] }))).toContain('LDS');
    expect(lookedAt(() => request(CLUSTER))).toContain('LDS');
  });

  it('takes away endpoints whose last push is ACKed after their cluster went', () => {
    const { start, source, session, texts, take, answer, settle } = rig('delta');
    start();
    source.put(edsCluster('b'), endpoints('b', 1), routesTo('web', 'b'));
    session.refresh('config');
    settle();
    source.put(endpoints('a', 2));
    session.refresh('endpoints');
    const [push] = take();
    expect(push?.text).toBe('EDS a');
    source.remove(Cluster as never, 'a').remove(ClusterLoadAssignment as never, 'a');
    session.refresh('config');
    const [cluster] = take();
    expect(cluster?.text).toBe('CDS -a');
    answer(cluster as Push);
    expect(texts()).toEqual([]);
    answer(push as Push);
    expect(texts()).toEqual(['EDS -a']);
  });

  it('says that a named resource is not there', () => {
    const { request, texts } = rig('delta');
    request(ENDPOINT, { subscribe: ['ghost'] });
    expect(texts()).toEqual(['EDS -ghost']);
  });

  it('sends what is subscribed to again, as a cluster that warms anew asks', () => {
    const { start, request, texts } = rig('delta');
    start();
    request(ENDPOINT, { subscribe: ['a'] });
    expect(texts()).toEqual(['EDS a']);
  });

  it('keeps the wildcard beside names', () => {
    const { request, texts, source, session, settle } = rig('delta');
    request(CLUSTER);
    request(CLUSTER, { subscribe: ['x'] });
    settle();
    source.put(edsCluster('b'), endpoints('b', 2));
    session.refresh('config');
    expect(texts()).toEqual(['CDS b']);
    const other = rig('delta');
    other.request(CLUSTER, { subscribe: ['a'] });
    other.settle();
    other.source.put(edsCluster('b'), endpoints('b', 2));
    other.session.refresh('config');
    expect(other.texts()).toEqual([]);
  });
});
