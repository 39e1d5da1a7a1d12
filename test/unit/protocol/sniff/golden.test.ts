/**
 * test/golden/sniff/*.md: under each heading first bytes, as hex or as text with escapes (`\r \n \t \0 \xHH`), and what the sniffer
 * of that name says of them. Each case is also fed octet by octet: what is said must not depend on how bytes arrive.
 * `UPDATE_GOLDEN=1` rewrites the answers.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { HttpPrefaceSniffer } from '../../../../src/protocol/sniff/http-preface.ts';
import { sniffProxyHeader, versionOf } from '../../../../src/protocol/sniff/proxy-protocol.ts';
import type { Sniff } from '../../../../src/protocol/sniff/sniff.ts';
import { ClientHelloSniffer } from '../../../../src/protocol/sniff/tls-client-hello.ts';

const FOLDER = new URL('../../../golden/sniff/', import.meta.url);
const UPDATE = process.env.UPDATE_GOLDEN === '1';
const CASE = /^## (.+)\n\n```(hex|text)\n([\s\S]*?)\n```\n(?:\n```json\n([\s\S]*?)\n```\n)?/gm;

type Read = (bytes: Uint8Array) => Sniff<unknown>;

const SNIFFERS: Record<string, () => Read> = {
  'tls-client-hello': () => {
    const sniffer = new ClientHelloSniffer();
    return (bytes) => sniffer.read(bytes);
  },
  'http-preface': () => {
    const sniffer = new HttpPrefaceSniffer();
    return (bytes) => sniffer.read(bytes);
  },
  'proxy-protocol': () => sniffProxyHeader,
};

const ESCAPES: Record<string, string> = { r: '\r', n: '\n', t: '\t', '0': '\0' };

function octets(kind: string, text: string): Buffer {
  if (kind === 'hex') return Buffer.from(text.replace(/\s/g, ''), 'hex');
  const plain = text.replace(/\\x([0-9a-f]{2})|\\([rnt0])/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? ESCAPES[letter]! : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, 'latin1');
}

function show(answer: Sniff<unknown>): string {
  const plain = JSON.stringify(answer, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  );
  return plain;
}

describe.each(Object.keys(SNIFFERS))('%s', (name) => {
  const file = new URL(`${name}.md`, FOLDER);
  const text = readFileSync(file, 'utf8');
  const cases = [...text.matchAll(CASE)];
  const outputs: string[] = [];

  it.each(cases)('%s', (...[, title, kind, input, expected]: (string | undefined)[]) => {
    const bytes = new Uint8Array(octets(kind!, input!));
    const answer = SNIFFERS[name]!()(bytes);
    outputs.push(`## ${title}\n\n\`\`\`${kind}\n${input}\n\`\`\`\n\n\`\`\`json\n${show(answer)}\n\`\`\`\n`);
    if (!UPDATE) expect(show(answer)).toBe(expected);
    const read = SNIFFERS[name]!();
    let trickled: Sniff<unknown> = { kind: 'more' };
    for (let length = 0; length <= bytes.length && trickled.kind === 'more'; length++) {
      trickled = read(bytes.subarray(0, length));
    }
    expect(show(trickled)).toBe(show(answer));
  });
  it('has a case for each heading', () => expect(cases.length).toBe(text.match(/^## /gm)!.length));
  afterAll(() => {
    if (UPDATE) writeFileSync(file, `${text.slice(0, text.indexOf('\n## ') + 1)}${outputs.join('\n')}`);
  });
});

it('a PROXY version is known by its signature, not before', () => {
  expect(versionOf(Buffer.from('PROXY'))).toBe('more');
  expect(versionOf(Buffer.from('PROXY '))).toBe(1);
  expect(versionOf(Buffer.from('\r\n\r\n\0\r\nQUIT'))).toBe('more');
  expect(versionOf(Buffer.from('\r\n\r\n\0\r\nQUIT\n'))).toBe(2);
  expect(versionOf(Buffer.from('GET'))).toBeNull();
});
