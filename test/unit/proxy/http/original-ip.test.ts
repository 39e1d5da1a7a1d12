import { expect, test } from 'vitest';
import type { OriginalIpDetection } from '../../../../src/model/http-connection-manager.ts';
import { RequestHead } from '../../../../src/protocol/http/message.ts';
import { asMapped, detected, OriginalIp } from '../../../../src/proxy/http/original-ip.ts';

const xff = (trustedHops = 0): OriginalIpDetection => ({ kind: 'xff', trustedHops });
const header = (rejectStatus: number | null = null, trusted = false): OriginalIpDetection => ({
  kind: 'header',
  header: 'x-real-ip',
  trusted,
  rejectStatus,
});

function detect(configs: OriginalIpDetection[], headers: Record<string, string> = {}) {
  const head = new RequestHead();
  for (const [name, value] of Object.entries(headers)) head.headers.add(name, value);
  new OriginalIp(configs).detect(head);
  return { ...detected };
}
const found = (address: string, trusted = false) => ({ address, trusted, rejectStatus: 0 });
const XFF = 'X-Forwarded-For';

test.each([
  ['the last address', [xff()], { [XFF]: '1.1.1.1, 2.2.2.2' }, found('2.2.2.2')],
  ['the only one, which may be internal', [xff()], { [XFF]: '1.1.1.1' }, found('1.1.1.1', true)],
  ['one hop before the last', [xff(1)], { [XFF]: '1.1.1.1,2.2.2.2' }, found('1.1.1.1')],
  ['more hops than addresses', [xff(2)], { [XFF]: '1.1.1.1,2.2.2.2' }, found('')],
  ['what is no address', [xff()], { [XFF]: '1.1.1.1,unknown' }, found('')],
  ['nothing', [xff()], {}, found('')],
  ['a header', [header()], { 'X-Real-IP': '2001:db8::1' }, found('2001:db8::1')],
  ['a header that is trusted', [header(null, true)], { 'X-Real-IP': '10.0.0.1' }, found('10.0.0.1', true)],
  ['a header with a name', [header()], { 'X-Real-IP': 'localhost' }, found('')],
  ['the next, where one does not know', [header(), xff()], { [XFF]: '1.1.1.1' }, found('1.1.1.1', true)],
  ['a refusal', [header(401), xff()], { [XFF]: '1.1.1.1' }, { ...found(''), rejectStatus: 401 }],
] as const)('the client is found by %s', (_name, configs, headers, expected) => {
  expect(detect([...configs], headers as Record<string, string>)).toEqual(expected);
});

test('IPv4 is mapped, IPv6 is not', () => {
  expect([asMapped('50.0.0.1'), asMapped('2001:db8::1')]).toEqual(['::ffff:50.0.0.1', '2001:db8::1']);
});
