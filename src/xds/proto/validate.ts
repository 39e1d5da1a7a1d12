import type { Any } from './any.ts';
import { enumOf, type Field, type Fields, type Message, messageOf, resolve } from './descriptor.ts';
import * as kind from './kinds.ts';
import { typeNameOf } from './message-type.ts';
import { MAX_DEPTH, type Path, quote } from './problems.ts';
import type { Rules } from './rules.ts';
import { formatDuration } from './time.ts';
import { zeroOf } from './values.ts';

/** Checks a message and all below it against the protos' `(validate.rules)`. */
export function checkMessage(message: Message, value: Fields, path: Path, depth: number): void {
  if (message.unchecked || depth > MAX_DEPTH) return;
  for (const oneof of message.oneofs) {
    if (oneof.required && !oneof.fields.some((field) => value[field.name] !== undefined)) {
      path.report(`one of ${oneof.fields.map((field) => `"${field.name}"`).join(', ')} is required`);
    }
  }
  for (const field of message.checked) {
    const item = value[field.name];
    if (item === undefined && field.rules === undefined) continue;
    path.push(field.name);
    checkField(field, item, path, depth);
    path.pop();
  }
}

function checkField(field: Field, value: unknown, path: Path, depth: number): void {
  const rules = field.rules;
  if (field.mapKey !== 0) checkMap(field, (value ?? {}) as Fields, path, depth);
  else if (field.repeated) checkList(field, (value ?? []) as unknown[], path, depth);
  else if (value !== undefined) checkValue(field, rules, value, path, depth);
  else if (rules?.required) {
    if (field.oneof < 0) path.report('is required');
  } else if (rules !== undefined && !field.explicit) checkValue(field, rules, zeroOf(field.kind, field), path, depth);
}

function checkList(field: Field, list: unknown[], path: Path, depth: number): void {
  const rules = field.rules;
  if (rules !== undefined && !(rules.ignore_empty && list.length === 0)) {
    checkCount(rules, list.length, path);
    if (rules.unique && new Set(list).size < list.length) path.report('must not hold the same item twice');
  }
  if (rules?.items === undefined && field.kind !== kind.MESSAGE && field.kind !== kind.ANY) return;
  for (const [index, item] of list.entries()) {
    path.push(index);
    checkValue(field, rules?.items, item, path, depth);
    path.pop();
  }
}

function checkMap(field: Field, map: Fields, path: Path, depth: number): void {
  const keys = Object.keys(map);
  if (field.rules !== undefined && !(field.rules.ignore_empty && keys.length === 0))
    checkCount(field.rules, keys.length, path);
  for (const key of keys) {
    path.pushKey(key);
    if (field.rules?.keys !== undefined && field.mapKey === kind.STRING) checkText(field.rules.keys, key, path);
    checkValue(field, field.rules?.items, map[key], path, depth);
    path.pop();
  }
}

function checkCount(rules: Rules, count: number, path: Path): void {
  if (rules.min_items !== undefined && count < rules.min_items)
    path.report(`must have at least ${plural(rules.min_items, 'item')}`);
  if (rules.max_items !== undefined && count > rules.max_items)
    path.report(`must have at most ${plural(rules.max_items, 'item')}`);
}

function checkValue(field: Field, rules: Rules | undefined, value: unknown, path: Path, depth: number): void {
  if (field.kind === kind.MESSAGE) {
    if (!rules?.skip && typeof value === 'object' && value !== null) {
      checkMessage(messageOf(field), value as Fields, path, depth + 1);
    }
  } else if (field.kind === kind.ANY) checkAny(value as Any, rules, path, depth);
  else if (rules !== undefined) checkScalar(field, rules, value, path);
  // Envoy refuses them where they are used.
  else if (field.kind === kind.DURATION && (value as number) < 0) path.report('must not be negative');
}

function checkScalar(field: Field, rules: Rules, value: unknown, path: Path): void {
  if (field.kind === kind.ENUM) checkEnum(field, rules, value as string | number, path);
  else if (typeof value === 'string') checkText(rules, value, path);
  else if (typeof value === 'number') checkNumber(rules, value, field.kind, path);
  else if (value instanceof Uint8Array) checkBytes(rules, value.length, path);
  else if (rules.const !== undefined && value !== rules.const) path.report(`must be ${rules.const}`);
}

/** What JSON has put into an Any is checked with what is around it; what is still bytes, when it is unpacked. */
function checkAny(any: Any, rules: Rules | undefined, path: Path, depth: number): void {
  if (rules?.in !== undefined && !rules.in.includes(any.type_url)) path.report(`must be one of ${rules.in.join(', ')}`);
  if (typeof any.message !== 'object' || any.message === null) return;
  const message = resolve(typeNameOf(any.type_url))?.message;
  if (message !== undefined) checkMessage(message, any.message as Fields, path, depth + 1);
}

function checkEnum(field: Field, rules: Rules, value: string | number, path: Path): void {
  const number = typeof value === 'number' ? value : (enumOf(field).numbers.get(value) ?? 0);
  if (rules.const !== undefined && number !== rules.const)
    path.report(`must be ${enumOf(field).names.get(Number(rules.const))}`);
  if (rules.not_in?.includes(number) || (rules.in !== undefined && !rules.in.includes(number)))
    path.report(`must not be ${value}`);
}

function checkNumber(rules: Rules, value: number, of: number, path: Path): void {
  if (rules.ignore_empty && value === 0) return;
  const show = (limit: number): string => (of === kind.DURATION ? formatDuration(limit) : String(limit));
  const low = rules.gte !== undefined ? value >= rules.gte : rules.gt === undefined || value > rules.gt;
  const high = rules.lte !== undefined ? value <= rules.lte : rules.lt === undefined || value < rules.lt;
  if (!low)
    path.report(
      rules.gte !== undefined ? `must be at least ${show(rules.gte)}` : `must be greater than ${show(rules.gt ?? 0)}`,
    );
  if (!high)
    path.report(
      rules.lte !== undefined ? `must be at most ${show(rules.lte)}` : `must be less than ${show(rules.lt ?? 0)}`,
    );
  if (rules.const !== undefined && value !== rules.const) path.report(`must be ${rules.const}`);
  if (rules.in !== undefined && !rules.in.includes(value)) path.report(`must be one of ${rules.in.join(', ')}`);
  if (rules.not_in?.includes(value)) path.report(`must not be ${value}`);
}

function checkBytes(rules: Rules, count: number, path: Path): void {
  if (rules.ignore_empty && count === 0) return;
  if (rules.min_bytes !== undefined && count < rules.min_bytes)
    path.report(`must have at least ${plural(rules.min_bytes, 'byte')}`);
  if (rules.max_bytes !== undefined && count > rules.max_bytes)
    path.report(`must have at most ${plural(rules.max_bytes, 'byte')}`);
}

/** The regular expressions of protoc-gen-validate's well_known_regex, strict and not. */
const headers = {
  name: [/^:?[0-9a-zA-Z!#$%&'*+.^_|~`-]+$/, 'an HTTP header name'],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  value: [/^[^\0-\x08\n-\x1f\x7f]*$/, 'an HTTP header value'],
  text: [/^[^\0\n\r]*$/, 'without NUL, CR and LF'],
} as const;

function checkText(rules: Rules, text: string, path: Path): void {
  if (rules.ignore_empty && text === '') return;
  checkLength(rules, text, path);
  if (rules.header !== undefined && !headers[rules.header][0].test(text))
    path.report(`must be ${headers[rules.header][1]}, got ${quote(text)}`);
  if (rules.pattern !== undefined && !new RegExp(rules.pattern).test(text)) path.report(`must match ${rules.pattern}`);
  if (rules.prefix !== undefined && !text.startsWith(rules.prefix))
    path.report(`must start with ${quote(rules.prefix)}`);
  if (rules.suffix !== undefined && !text.endsWith(rules.suffix)) path.report(`must end with ${quote(rules.suffix)}`);
  if (rules.contains !== undefined && !text.includes(rules.contains))
    path.report(`must contain ${quote(rules.contains)}`);
  if (rules.const !== undefined && text !== rules.const) path.report(`must be ${quote(String(rules.const))}`);
  if (rules.in !== undefined && !rules.in.includes(text))
    path.report(`must be one of ${rules.in.map((item) => quote(String(item))).join(', ')}`);
  if (rules.not_in?.includes(text)) path.report(`must not be ${quote(text)}`);
}

function checkLength(rules: Rules, text: string, path: Path): void {
  const { min_len: least, max_len: most } = rules;
  if (least !== undefined && text.length < least * 2 && [...text].length < least)
    path.report(least === 1 ? 'must not be empty' : `must have at least ${plural(least, 'character')}`);
  if (most !== undefined && text.length > most && [...text].length > most)
    path.report(`must have at most ${plural(most, 'character')}`);
  if (rules.min_bytes !== undefined || rules.max_bytes !== undefined) checkBytes(rules, Buffer.byteLength(text), path);
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
