import { Writable } from 'node:stream';
import { systemClock } from '../../base/clock.ts';
import { messageOf, RemoraError } from '../../base/errors.ts';
import { silentLogger } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import type { FilterChain, Listener } from '../../model/listener.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import {
  type ExplainTarget,
  type Explanation,
  explainRequest,
  type ListenerExplanation,
} from '../../proxy/admin/explain.ts';
import { proxyDecodeContext } from '../../proxy/runtime/extensions.ts';
import { Proxy } from '../../proxy/runtime/server.ts';
import { type Bootstrap, readBootstrap } from '../../xds/bootstrap/bootstrap.ts';
import { proxyBootstrap } from '../../xds/bootstrap/proxy-bootstrap.ts';
import { VERSION } from '../version.ts';
import { type Answer, answerOf, type Policy, type Question } from './answer.ts';
import { anySidecar, type Caller } from './caller.ts';
import { detailsIn } from './details.ts';

/** Where it would listen, and whom it would ask. */
const SOMEWHERE = '127.0.0.1:1';

/** Puts a snapshot in force without binding anything, and asks. */
export async function explainSnapshot(
  snapshot: Snapshot,
  question: Question,
  about: Pick<Answer, 'asked' | 'source' | 'notes'>,
  policiesFor: (listener: ListenerExplanation) => readonly Policy[],
): Promise<Answer> {
  const proxy = idleProxy(bootstrapOf(anySidecar('default'), SOMEWHERE));
  const unbound = new Map([...snapshot.listeners].map(([name, listener]) => [name, unboundListener(listener)]));
  try {
    await proxy.applier.apply({ ...snapshot, listeners: unbound });
    const explanation = ask(proxy, [...unbound.values()], question);
    return answerOf(question, explanation, about, (listener) => detailsIn(snapshot, listener, policiesFor(listener)));
  } finally {
    await proxy.close();
  }
}

function ask(proxy: Proxy, listeners: readonly Listener[], question: Question): Explanation {
  const managers = proxy.applier.managers();
  const targets = listeners.flatMap((listener) =>
    listener.filterChains.flatMap(({ name, filter }): ExplainTarget[] => {
      const manager = filter.kind === 'http' ? managers.find(({ config }) => config === filter.http) : undefined;
      if (manager === undefined) return [];
      const { addresses, trafficDirection: direction } = listener;
      return [{ listener: listener.name, addresses, direction, filterChain: name, manager }];
    }),
  );
  try {
    return explainRequest(targets, proxy.env.clusters, question);
  } catch (error) {
    if (error instanceof RangeError)
      throw new RemoraError('request', messageOf(error), { source: 'user', cause: error });
    throw error;
  }
}

/** It serves nobody: it opens no port and no log file. */
function unboundListener(listener: Listener): Listener {
  const { defaultFilterChain } = listener;
  return {
    ...listener,
    bindToPort: false,
    accessLog: [],
    filterChains: listener.filterChains.map(withoutLogs),
    defaultFilterChain: defaultFilterChain === null ? null : withoutLogs(defaultFilterChain),
  };
}

function withoutLogs(chain: FilterChain): FilterChain {
  const { filter } = chain;
  return filter.kind === 'http'
    ? { ...chain, filter: { kind: 'http', http: { ...filter.http, accessLog: [] } } }
    : { ...chain, filter: { kind: 'tcp', tcp: { ...filter.tcp, accessLog: [] } } };
}

/** Metadata of a proxy whose ports nobody will use. */
export function remoraOf(type: 'sidecar' | 'router'): { httpProxy: string } | { allGateways: true } {
  return type === 'router' ? { allGateways: true } : { httpProxy: SOMEWHERE };
}

/** The bootstrap of the caller's proxy. */
export function bootstrapOf(caller: Caller, control: string): Bootstrap {
  const { kind, name, namespace, labels } = caller;
  const flags = {
    type: kind,
    control,
    ip: '127.0.0.1',
    pod: `explain-${name}`,
    namespace,
    labels,
    metadata: { REMORA: remoraOf(kind) },
  };
  const result = readBootstrap(JSON.stringify(proxyBootstrap(flags)), proxyDecodeContext());
  if (result.ok) return result.bootstrap;
  throw new RemoraError('explain', result.problems.map(({ path, reason }) => `${path}: ${reason}`).join('; '));
}

/** A proxy that is not started: its parts are there, and nothing runs. */
export function idleProxy(bootstrap: Bootstrap): Proxy {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  return new Proxy({
    bootstrap,
    clock: systemClock,
    random: systemRandom,
    log: silentLogger(systemClock),
    stdout: nowhere,
    stderr: nowhere,
    version: VERSION,
  });
}
