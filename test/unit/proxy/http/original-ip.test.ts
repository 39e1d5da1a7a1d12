import { expect, test } from 'vitest';
import type { OriginalIpDetection } from '../../../../src/model/http-connection-manager.ts';
import { RequestHead } from '../../../../src/protocol/http/message.ts';
import { asMapped, detected, OriginalIp } from '../../../../src/proxy/http/original-ip.ts';

const xff = (trustedHops = 0, cidr = '', skipAppend = true): OriginalIpDetection => ({
  kind: 'xff',
  trustedHops,
  trustedRanges: cidr === '' ? null : [{ address: cidr, prefixLength: 8 }],
  skipAppend,
});
const header = (rejectStatus: number | null = null, trusted = false): OriginalIpDetection => ({
  kind: 'header',
  header: 'x-real-ip',
  trusted,
  rejectStatus,
});

function detect(configs: OriginalIpDetection[], peer: string, headers: Record<string, string> = {}) {
  const head = new RequestHead();
  for (const [name, value] of Object.entries(headers)) head.headers.add(name, value);
  new OriginalIp(configs).detect(head, peer);
  return { ...detected };
}
const found = (address: string, trusted = false, append = false) => ({ address, trusted, append, rejectStatus: 0 });
const XFF = 'X-Forwarded-For';

test.each([
  ['the last address', [xff()], '9.9.9.9', { [XFF]: '1.1.1.1, 2.2.2.2' }, found('2.2.2.2')],
  ['the only one, which may be internal', [xff()], '9.9.9.9', { [XFF]: '1.1.1.1' }, found('1.1.1.1', true)],
  ['one hop before the last', [xff(1)], '9.9.9.9', { [XFF]: '1.1.1.1,2.2.2.2' }, found('1.1.1.1')],
  ['more hops than addresses', [xff(2)], '9.9.9.9', { [XFF]: '1.1.1.1,2.2.2.2' }, found('')],
  ['what is no address', [xff()], '9.9.9.9', { [XFF]: '1.1.1.1,unknown' }, found('')],
  ['nothing', [xff()], '9.9.9.9', {}, found('')],
  ['appending', [xff(0, '', false)], '9.9.9.9', { [XFF]: '1.1.1.1' }, found('1.1.1.1', true, true)],
  ['a stranger’s word', [xff(0, '10.0.0.0')], '9.9.9.9', { [XFF]: '1.1.1.1' }, found('', false, true)],
  ['the last not trusted', [xff(0, '10.0.0.0')], '10.1.1.1', { [XFF]: '6.6.6.6,1.1.1.1, 10.2.2.2' }, found('1.1.1.1')],
  ['all trusted', [xff(0, '10.0.0.0')], '10.1.1.1', { [XFF]: '10.3.3.3,10.2.2.2' }, found('10.3.3.3', true)],
  ['a forged start', [xff(0, '10.0.0.0')], '10.1.1.1', { [XFF]: 'x,10.2.2.2' }, found('')],
  ['nothing, and appending', [xff(0, '', false)], '9.9.9.9', {}, found('', false, true)],
  ['a header', [header()], '9.9.9.9', { 'X-Real-IP': '2001:db8::1' }, found('2001:db8::1')],
  ['a header that is trusted', [header(null, true)], '9.9.9.9', { 'X-Real-IP': '10.0.0.1' }, found('10.0.0.1', true)],
  ['a header with a name', [header()], '9.9.9.9', { 'X-Real-IP': 'localhost' }, found('')],
  ['the next, where one does not know', [header(), xff()], '9.9.9.9', { [XFF]: '1.1.1.1' }, found('1.1.1.1', true)],
  ['a refusal', [header(401), xff()], '9.9.9.9', { [XFF]: '1.1.1.1' }, { ...found(''), rejectStatus: 401 }],
] as const)('the client is found by %s', (_name, configs, peer, headers, expected) => {
  expect(detect([...configs], peer, headers as Record<string, string>)).toEqual(expected);
});

test('IPv4 is mapped, IPv6 is not', () => {
  expect([asMapped('50.0.0.1'), asMapped('2001:db8::1')]).toEqual(['::ffff:50.0.0.1', '2001:db8::1']);
});
