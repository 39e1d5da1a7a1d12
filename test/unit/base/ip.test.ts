import net from 'node:net';
import { expect, it } from 'vitest';
import { isIP, isIPv4, isIPv6 } from '../../../src/base/ip.ts';
import { seededRandom } from '../../../src/base/random.ts';

it('knows addresses', () => {
  for (const text of ['0.0.0.0', '255.255.255.255', '10.1.2.30']) expect([text, isIP(text)]).toEqual([text, 4]);
  for (const text of ['::', '::1', '1::', 'fe80::1%eth0', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7::', '::ffff:1.2.3.4']) {
    expect([text, isIP(text)]).toEqual([text, 6]);
  }
});

it('knows what is none', () => {
  const v4 = ['', '1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '1.2.3.4 ', '1..3.4', 'a.b.c.d'];
  const v6 = [':', ':::', '1:', ':1', '1::2::3', '12345::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8'];
  const more = ['::1.2.3', '1.2.3.4::', '::1.2.3.4:5', '1:2:3:4:5:6:7:1.2.3.4', '::1%', '::1%a_b', '::g', '%eth0'];
  for (const text of [...v4, ...v6, ...more]) expect([text, isIP(text)]).toEqual([text, 0]);
});

it('says what node:net says', () => {
  const random = seededRandom(7);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random.next() * list.length)]!;
  const numbers = ['0', '1', '9', '25', '255'];
  const groups = ['0', '1', 'a', 'F', 'abcd'];
  const parts = [...numbers, ...groups, '01', '256', '300', 'abcde', 'g', '1.2.3.4', '', ' '];
  const found = { 0: 0, 4: 0, 6: 0 };
  for (let i = 0; i < 60_000; i++) {
    const count = pick([1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 8, 9]);
    let text = pick(['', '', ':', '::', '.']);
    const separators = pick([['.'], [':'], [':', ':', ':', '::'], [':', '.', '::', '%']]);
    const of = pick([numbers, groups, parts]);
    for (let part = 0; part < count; part++)
      text += (part === 0 ? '' : pick(separators)) + pick(random.int(4) === 0 ? parts : of);
    text += pick(['', '', '', ':', '::', '.', '%', '%eth0', '%-.:', '%a/b', '\n']);
    const version = net.isIP(text) as 0 | 4 | 6;
    found[version]++;
    if (isIP(text) !== version || isIPv4(text) !== net.isIPv4(text) || isIPv6(text) !== net.isIPv6(text)) {
      expect([text, isIP(text)]).toEqual([text, version]);
    }
  }
  expect(Math.min(found[4], found[6])).toBeGreaterThan(50);
});
