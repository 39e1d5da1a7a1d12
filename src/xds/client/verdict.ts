import type { Any, Problem } from '../proto/codec.ts';
import type { Status } from '../proto/gen/google/rpc.ts';
import type { HeldResource, Remark, ResourceDecoder } from './resource-decoder.ts';
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
  readonly rejected: readonly Remark[];
  /** Accepted, but not all of it has an effect. */
  readonly warnings: readonly Remark[];
}

/**
 * Decodes every resource of a response; one that fails does not spoil the others. What is held already,
 * byte for byte, is not decoded again, so that nothing downstream sees a change.
 */
export function judge(
  decoder: ResourceDecoder,
  received: readonly Received[],
  held: ReadonlyMap<string, HeldResource>,
): Verdict {
  const accepted = new Map<string, HeldResource>();
  const rejected: Remark[] = [];
  const warnings: Remark[] = [];
  const seen = new Set<string>();
  for (const { name: envelope, version, any } of received) {
    const { unnamed = false } = decoder;
    const outside = unnamed ? (envelope ?? '') : envelope || nameIn(any);
    const before = unnamed && envelope === undefined ? undefined : held.get(outside);
    if (before !== undefined && !seen.has(outside) && sameBytes(before.any, any)) {
      seen.add(outside);
      accepted.set(outside, { ...before, version });
      continue;
    }
    // A copy, because a view would keep the whole response in memory for as long as the resource is held.
    const own = { type_url: any.type_url, value: new Uint8Array(any.value ?? []) };
    const decoded = decoder.decode(own);
    const name = unnamed ? (envelope ?? decoded.name ?? '') : decoded.name || outside;
    const reasons = decoded.ok ? [] : textsOf(decoded.errors);
    if (decoded.ok && !unnamed && outside !== '' && decoded.name !== outside)
      reasons.push(`is named ${JSON.stringify(decoded.name)} inside`);
    if (name !== '' && seen.has(name)) {
      reasons.push('is in the response twice');
      accepted.delete(name);
    }
    seen.add(name);
    if (decoded.ok && reasons.length === 0) {
      accepted.set(name, { name, version, any: own, resource: decoded.resource });
      if (decoded.warnings.length > 0) warnings.push({ name, reasons: textsOf(decoded.warnings) });
    } else rejected.push({ name, reasons });
  }
  return { accepted: [...accepted.values()], rejected, warnings };
}

/** What a NACK carries: a line for each resource with its reasons, bounded. */
export function errorDetail(typeUrl: string, rejected: readonly Remark[]): Status {
  return { code: INVALID_ARGUMENT, message: describe(typeUrl, rejected) };
}

export function describe(typeUrl: string, rejected: readonly Remark[]): string {
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

/** Keeps what was accepted and is wanted; returns it. */
export function hold(subscription: Subscription, accepted: readonly HeldResource[]): HeldResource[] {
  const updated = accepted.filter(({ name }) => subscription.wants(name));
  for (const resource of updated) subscription.held.set(resource.name, resource);
  return updated;
}

function sameBytes(a: Any, b: Any): boolean {
  if (a === b) return true;
  if (a.value === undefined || b.value === undefined) return false;
  return Buffer.compare(a.value, b.value) === 0;
}

/**
 * The name of a resource too faulty to be decoded. In every type it is field 1, and so written first;
 * '' when it is not there.
 */
function nameIn({ value = new Uint8Array(0) }: Any): string {
  if (value[0] !== 0x0a) return '';
  let length = 0;
  let at = 1;
  for (let shift = 0; shift <= 14; shift += 7) {
    const byte = value[at++] ?? 0;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return at + length <= value.length ? Buffer.from(value.subarray(at, at + length)).toString() : '';
  }
  return '';
}

function textsOf(problems: readonly Problem[]): string[] {
  return problems.slice(0, MAX_PER_RESOURCE).map(({ path, reason }) => (path === '' ? reason : `${path}: ${reason}`));
}
