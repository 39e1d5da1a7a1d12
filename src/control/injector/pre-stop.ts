import { isRecord } from '../source/schema/type.ts';
import { type PatchOperation, pointer } from './json-patch.ts';

/** What the end of a pod is decided by; all from the pod but for the delay. */
export interface PreStopInput {
  /** Seconds; 0 leaves everything as it is. */
  readonly delayS: number;
  readonly graceS: number;
  /** Kind of the workload. */
  readonly kind: string;
}

/**
 * For how long the application lives on once its pod's end has begun. At that moment callers still have the pod among
 * their endpoints, and most programs stop listening as soon as they are told to end: what is on its way to them would
 * fail. Nobody calls a Job.
 */
export function preStopDelay({ delayS, graceS, kind }: PreStopInput): number {
  return kind === 'Job' || kind === 'CronJob' ? 0 : Math.min(delayS, Math.floor(graceS / 2));
}

/** Has each container of the application wait before it is told to end, unless it has a hook of its own. */
export function preStopPatch(containers: readonly Readonly<Record<string, unknown>>[], delayS: number) {
  const patch: PatchOperation[] = [];
  if (delayS === 0) return patch;
  const preStop = { sleep: { seconds: delayS } };
  for (const [index, { lifecycle }] of containers.entries()) {
    const at = ['spec', 'containers', index, 'lifecycle'];
    if (!isRecord(lifecycle)) patch.push({ op: 'add', path: pointer(at), value: { preStop } });
    else if (lifecycle.preStop == null) patch.push({ op: 'add', path: pointer([...at, 'preStop']), value: preStop });
  }
  return patch;
}
