import type { Any, Problem } from '../proto/codec.ts';
import type { Status } from '../proto/gen/google/rpc.ts';
import type { HeldResource, Rejection, ResourceDecoder } from './resource-decoder.ts';
import type { Subscription } from './subscription.ts';
import { shortName } from './type-urls.ts';

const INVALID_ARGUMENT = 3;
const MAX_REASON = 4096;
const MAX_PER_RESOURCE = 10;

/** A resource as it came, with the envelope's name and version in delta. */
export interface Received {
  readonly name?: string | undefined;
  readonly version: string;
  readonly any: Any;
}

/** A response judged resource by resource. Nothing is applied yet. */
export interface Verdict {
  readonly accepted: readonly HeldResource[];
  readonly rejected: readonly Rejection[];
  readonly warnings: readonly { readonly name: string; readonly problems: readonly Problem[] }[];
}

/** Decodes every resource of a response; one that fails does not spoil the others. */
export function judge(decoder: ResourceDecoder, received: readonly Received[]): Verdict {
  const accepted = new Map<string, HeldResource>();
  const rejected: Rejection[] = [];
  const warnings: { name: string; problems: readonly Problem[] }[] = [];
  const seen = new Set<string>();
  for (const { name: envelope, version, any } of received) {
    const decoded = decoder.decode(any);
    const name = (decoded.name ?? envelope) || '';
    let reasons: readonly string[] = [];
    if (!decoded.ok) reasons = decoded.errors.slice(0, MAX_PER_RESOURCE).map(text);
    else if (envelope !== undefined && envelope !== '' && decoded.name !== envelope)
      reasons = [`is named ${JSON.stringify(decoded.name)} inside`];
    if (name !== '' && seen.has(name)) {
      reasons = [...reasons, 'is in the response twice'];
      accepted.delete(name);
    }
    seen.add(name);
    if (reasons.length > 0 || !decoded.ok) {
      rejected.push({ name, reasons });
      continue;
    }
    accepted.set(name, { name, version, any, resource: decoded.resource });
    if (decoded.warnings.length > 0) warnings.push({ name, problems: decoded.warnings });
  }
  return { accepted: [...accepted.values()], rejected, warnings };
}

/** What a NACK carries: a line for each resource with its reasons, bounded. */
export function errorDetail(typeUrl: string, rejected: readonly Rejection[]): Status {
  return { code: INVALID_ARGUMENT, message: describe(typeUrl, rejected) };
}

export function describe(typeUrl: string, rejected: readonly Rejection[]): string {
  let message = '';
  for (const [i, { name, reasons }] of rejected.entries()) {
    const line = `${i === 0 ? '' : '\n'}${shortName(typeUrl)} ${name === '' ? '(unnamed)' : JSON.stringify(name)}: ${reasons.join('; ')}`;
    if (message.length + line.length > MAX_REASON) {
      message += message === '' ? line.slice(0, MAX_REASON) : `\nand ${rejected.length - i} more`;
      break;
    }
    message += line;
  }
  return message;
}

/** Keeps what was accepted and is wanted; returns what is new against what was held. */
export function hold(subscription: Subscription, accepted: readonly HeldResource[]): HeldResource[] {
  const updated: HeldResource[] = [];
  for (const resource of accepted) {
    if (!subscription.wants(resource.name)) continue;
    const before = subscription.held.get(resource.name);
    // The same bytes keep their decoded value, so that nothing downstream sees a change.
    const same = before !== undefined && sameBytes(before.any, resource.any);
    const kept = same ? { ...before, version: resource.version } : resource;
    subscription.held.set(resource.name, kept);
    updated.push(kept);
  }
  return updated;
}

function sameBytes(a: Any, b: Any): boolean {
  if (a === b) return true;
  if (a.value === undefined || b.value === undefined) return false;
  return Buffer.compare(a.value, b.value) === 0;
}

function text(problem: Problem): string {
  return problem.path === '' ? problem.reason : `${problem.path}: ${problem.reason}`;
}
