import type { Applied } from '../serve/clients.ts';
import type { Finding } from '../source/collection.ts';
import { isRecord } from '../source/schema/type.ts';

/** A condition as Kubernetes and Istio's IstioCondition have it. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration: number;
}

/** What became of one version of an object. */
export interface Outcome {
  readonly generation: number;
  /** What is wrong with it; the first error. */
  readonly error: Finding | null;
  readonly applied: Applied;
}

export const CONTROLLER = 'remora.dev/control';

/**
 * `Accepted`: it could be read. `Reconciled` (Istio's word): every proxy that is connected runs by it. Times are kept
 * from the conditions that are there while their status stays.
 */
export function conditionsOf(
  { generation, error, applied }: Outcome,
  before: readonly unknown[],
  now: string,
): Condition[] {
  const { applied: n, rejected, of: m } = applied;
  const done = n === m;
  const reconciled = error === null && done;
  const count = `applied by ${n} of ${m} proxies${rejected > 0 ? `; ${rejected} refused it, see the log` : ''}`;
  const made = [
    {
      type: 'Accepted',
      status: error === null ? 'True' : 'False',
      reason: error === null ? 'Valid' : 'Invalid',
      message: error === null ? '' : textOf(error),
    },
    {
      type: 'Reconciled',
      status: reconciled ? 'True' : 'False',
      reason: error !== null ? 'Invalid' : done ? 'Applied' : rejected > 0 ? 'Rejected' : 'Pending',
      message: error === null ? count : 'not in force; where there was a good version before it, that one is',
    },
  ] as const;
  return made.map((one) => {
    const old = before.filter(isRecord).find(({ type }) => type === one.type);
    const since =
      old?.status === one.status && typeof old.lastTransitionTime === 'string' ? old.lastTransitionTime : now;
    return { ...one, lastTransitionTime: since, observedGeneration: generation };
  });
}

function textOf({ field, message }: Finding): string {
  return field === '' ? message : `${field}: ${message}`;
}

/**
 * Whether the object says this already. Of a version that every proxy had once it is enough that it says so: how many
 * proxies there are changes all the time, and is no news about the object.
 */
export function saysAlready(before: readonly unknown[], now: readonly Condition[]): boolean {
  return now.every((condition) => {
    const old = before.filter(isRecord).find(({ type }) => type === condition.type);
    if (old === undefined || old.status !== condition.status) return false;
    if (old.observedGeneration !== condition.observedGeneration || old.reason !== condition.reason) return false;
    return old.message === condition.message || (condition.type === 'Reconciled' && condition.status === 'True');
  });
}

/** The status to be merged into the object's. Others' conditions stay: lists are replaced as a whole. */
export function statusWith(object: unknown, outcome: Outcome, now: string): object | null {
  const status = isRecord(object) && isRecord(object.status) ? object.status : {};
  const before = listOf(status.conditions);
  const conditions = conditionsOf(outcome, before, now);
  if (saysAlready(before, conditions) && status.observedGeneration === outcome.generation) return null;
  const ours = new Set(conditions.map(({ type }) => type));
  const others = before.filter((one) => !isRecord(one) || !ours.has(String(one.type)));
  return { observedGeneration: outcome.generation, conditions: [...others, ...conditions] };
}

/** The same as the Gateway API's policies have it: by target. */
export function policyStatusWith(object: unknown, outcome: Outcome, now: string): object | null {
  const { spec, status } = isRecord(object) ? object : {};
  const ancestors = listOf(isRecord(status) ? status.ancestors : undefined);
  const mine = ancestors.filter((one) => isRecord(one) && one.controllerName === CONTROLLER);
  const targets = listOf(isRecord(spec) ? spec.targetRefs : undefined).slice(0, MAX_ANCESTORS);
  let changed = mine.length !== targets.length;
  const made = targets.map((target, i) => {
    const old = mine[i];
    const before = listOf(isRecord(old) ? old.conditions : undefined);
    const conditions = conditionsOf(outcome, before, now);
    if (saysAlready(before, conditions)) return old;
    changed = true;
    const { group = '', kind, name, sectionName } = isRecord(target) ? target : {};
    const ancestorRef = { group, kind, name, ...(sectionName === undefined ? {} : { sectionName }) };
    return { ancestorRef, controllerName: CONTROLLER, conditions };
  });
  if (!changed) return null;
  const others = ancestors.filter((one) => !isRecord(one) || one.controllerName !== CONTROLLER);
  return { ancestors: [...others, ...made] };
}

const MAX_ANCESTORS = 16;

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
