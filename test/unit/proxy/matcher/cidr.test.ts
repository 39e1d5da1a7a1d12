import { BlockList, isIP } from 'node:net';
import { expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { compileCidr } from '../../../../src/proxy/matcher/cidr.ts';

const ADDRESSES = [
  '10.1.2.3',
  '10.1.2.255',
  '10.2.0.0',
  '0.0.0.0',
  '255.255.255.255',
  '127.0.0.1',
  '::',
  '::1',
  '1::',
  'fe80::1',
  'fe80::1%eth0',
  'fc00:1:2:3:4:5:6:7',
  'fdff::ffff',
  '2001:db8::8:800:200c:417a',
  '2001:DB8::8:800:200C:417A',
  '2001:db8:0:0:8:800:200c:417a',
  '2001:db8:1:2::',
  '::ffff:10.1.2.3',
  '64:ff9b::192.0.2.33',
  '1:2:3:4:5:6:7::',
  '::2:3:4:5:6:7:8',
];
const WRONG = [
  '',
  'localhost',
  '10.1.2',
  '10.1.2.3.4',
  '10.1.2.',
  '10..2.3',
  '.1.2.3',
  '10.1.2.256',
  ' 10.1.2.3',
  '10.1.2.3 ',
  '10.1.2.x',
  '010.1.2.3',
  ':',
  ':::',
  ':1',
  '1:',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8:',
  '1::2::3',
  '12345::',
  '1:2:3:4:5:6:7:1.2.3.4',
  '::1.2.3',
  '::1.2.3.4.5',
  'g::',
  '1:2:3:4::5:6:7:8:9',
  '1:::2',
];
const RANGES: readonly (readonly [string, number])[] = [
  ['10.1.2.3', 32],
  ['10.1.2.77', 24],
  ['10.0.0.0', 8],
  ['128.0.0.0', 1],
  ['0.0.0.0', 0],
  ['::', 0],
  ['::1', 128],
  ['fc00::', 7],
  ['fe80::', 10],
  ['2001:db8::', 32],
  ['2001:db8:1:2::', 64],
  ['2001:db8:1:2::', 63],
  ['::ffff:0:0', 96],
];

it.each(RANGES)('%s/%i holds what Node says that it holds', (address, prefixLength) => {
  const list = new BlockList();
  list.addSubnet(address, prefixLength, isIP(address) === 4 ? 'ipv4' : 'ipv6');
  const test = compileCidr({ address, prefixLength });
  for (const one of ADDRESSES) {
    const plain = one.split('%')[0]!;
    // A range holds addresses of its own family only; Node looks through ::ffff:.
    const expected = isIP(plain) === isIP(address) && list.check(plain, isIP(plain) === 4 ? 'ipv4' : 'ipv6');
    expect([one, test(one)]).toEqual([one, expected]);
  }
});

it('holds nothing that is no address', () => {
  for (const address of ['0.0.0.0', '::']) {
    const test = compileCidr({ address, prefixLength: 0 });
    for (const wrong of WRONG) expect([wrong, test(wrong)]).toEqual([wrong, false]);
  }
});

it('reads texts as Node does, whatever they are made of', () => {
  const random = seededRandom(7);
  const v4 = compileCidr({ address: '0.0.0.0', prefixLength: 0 });
  const v6 = compileCidr({ address: '::', prefixLength: 0 });
  const pieces = ['1', '0', 'f', '255', '10', ':', ':', '::', '.', 'abcd', '0:0:0', '1.2.3.4'];
  for (let i = 0; i < 20_000; i++) {
    let text = '';
    for (let n = 1 + random.int(9); n > 0; n--) text += pieces[random.int(pieces.length)]!;
    expect([text, v4(text) ? 4 : v6(text) ? 6 : 0]).toEqual([text, isIP(text)]);
  }
});
