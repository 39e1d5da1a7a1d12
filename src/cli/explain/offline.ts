import { RemoraError } from '../../base/errors.ts';
import type { Mesh } from '../../control/mesh/mesh.ts';
import type { ProxySnapshot } from '../../control/serve/snapshot.ts';
import type { ConfigState } from '../../control/source/collection.ts';
import { originText } from '../../control/translate/emit/metadata.ts';
import { parseOutbound } from '../../control/translate/emit/names.ts';
import { MeshEmitter } from '../../control/translate/emit/snapshot.ts';
import { Translator } from '../../control/translate/translator.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ListenerExplanation } from '../../proxy/admin/explain.ts';
import { proxyDecodeContext } from '../../proxy/runtime/extensions.ts';
import type { ResourceType } from '../../xds/resources/resource-type.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../xds/resources/standard.ts';
import { readPaths } from '../config-files.ts';
import { count, duration } from '../output.ts';
import { VERSION } from '../version.ts';
import type { Answer, Policy, Question } from './answer.ts';
import { type Caller, callerIn } from './caller.ts';
import { explainSnapshot, remoraOf } from './idle-proxy.ts';

/** Answers from YAML: what the control server would make of it, and what the proxy would make of that. */
export async function explainFiles(paths: readonly string[], source: string, question: Question): Promise<Answer> {
  return explainState(await readPaths(paths), paths, source, question);
}

/** The same from objects that were read already. */
export async function explainState(
  state: ConfigState,
  paths: readonly string[],
  source: string,
  question: Question,
): Promise<Answer> {
  const { mesh, findings } = new Translator().update(state);
  const caller = callerIn(mesh, question);
  const skipped: string[] = [];
  const emitted = new MeshEmitter(({ message }) => skipped.push(message)).emit(mesh, nodeOf(caller));
  const snapshot = decodeSnapshot(emitted);
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const notes = [
    ...skipped,
    ...(errors === 0 ? [] : [`${count(errors, 'error')} in this config: see \`remora analyze ${paths.join(' ')}\``]),
    ...(caller.kind === 'router' && snapshot.listeners.size === 0 ? ['no Gateway opens a port: nothing comes in'] : []),
    ...(mesh.workloads.length === 0 && [...mesh.services.values()].every(({ endpoints }) => endpoints.length === 0)
      ? [
          'this config has no Pods and no EndpointSlices, so nothing has endpoints: they come from the cluster, or from `remora demo`',
        ]
      : []),
  ];
  const about = { asked: caller.called, source, notes };
  return explainSnapshot(snapshot, question, about, (listener) => policiesOf(mesh, listener));
}

function nodeOf({ kind, name, namespace, labels }: Caller) {
  const id = `${kind}~127.0.0.1~${name}.${namespace}~${namespace}.svc.cluster.local`;
  return {
    id,
    kind,
    namespace,
    labels: new Map(Object.entries(labels)),
    key: id,
    userAgent: `remora/${VERSION}`,
    metadata: { REMORA: remoraOf(kind) },
  };
}

/** As the proxy takes it: by its decoders. */
function decodeSnapshot(emitted: ProxySnapshot): Snapshot {
  const context = proxyDecodeContext();
  const decode = <M>(type: ResourceType<M>): Map<string, M> => {
    const decoded = new Map<string, M>();
    for (const [name, { any }] of emitted.resources.get(type.typeUrl) ?? []) {
      const result = type.decode(any, context);
      if (result.ok) decoded.set(name, result.resource);
      else {
        const reasons = result.errors.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
        throw new RemoraError('nack', `a proxy would refuse ${name}: ${reasons}`);
      }
    }
    return decoded;
  };
  return { listeners: decode(LISTENER), routes: decode(ROUTE), clusters: decode(CLUSTER), endpoints: decode(ENDPOINT) };
}

/** Rate limits, which the config that is pushed holds without saying who wrote them: here, and at the other end. */
function policiesOf(mesh: Mesh, { route }: ListenerExplanation): Policy[] {
  const hosts = new Set((route?.targets ?? []).map(({ cluster }) => parseOutbound(cluster)?.host));
  const policies: Policy[] = [];
  for (const { target, requests, perMs, burst, status, written } of mesh.rateLimits) {
    if (target.kind !== 'service' || !hosts.has(target.host)) continue;
    const rate = `${count(requests, 'request')} every ${duration(perMs)}, at most ${burst} at once; beyond that ${status}`;
    const name = mesh.services.get(target.host)?.name ?? target.host;
    policies.push({ says: `each instance of ${name} admits ${rate}`, origin: originText(written) });
  }
  return policies;
}
