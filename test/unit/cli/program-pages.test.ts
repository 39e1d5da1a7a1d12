import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { cleanMappings, releaseProgramPages } from '../../../src/cli/program-pages.ts';

function mapping(head: string, privateDirty = 0, anonymous = 0): string {
  return `${head}\nSize:  8 kB\nPrivate_Dirty:  ${privateDirty} kB\nAnonymous:  ${anonymous} kB\nVmFlags: rd mr\n`;
}

it('takes mappings of files that nobody can have changed', () => {
  const smaps = [
    mapping('00400000-00402000 r--p 00000000 fe:00 12     /bin/node'),
    mapping('7f0000000000-7f0000001000 r-xp 00001000 fe:00 12     /lib/a b.so (deleted)'),
  ];
  expect(cleanMappings(smaps.join(''))).toEqual([
    { address: 0x400000n, bytes: 0x2000n },
    { address: 0x7f0000000000n, bytes: 0x1000n },
  ]);
});

it('leaves what is relocated, writable, shared or no file', () => {
  const smaps = [
    mapping('00400000-00402000 r--p 00000000 fe:00 12 /bin/node', 24, 0),
    mapping('00402000-00403000 r--p 00000000 fe:00 12 /bin/node', 0, 4),
    mapping('00403000-00404000 rw-p 00000000 fe:00 12 /bin/node'),
    mapping('00404000-00405000 rwxp 00000000 00:00 0 '),
    mapping('00405000-00406000 r-xp 00000000 00:00 0 [vdso]'),
    mapping('00406000-00407000 r--s 00000000 fe:00 12 /tmp/shared'),
    mapping('00407000-00408000 r-xp 00000000 00:00 0 /memfd:x'),
    // A kernel that does not say.
    '00408000-00409000 r--p 00000000 fe:00 12 /bin/node\nSize:  8 kB\n',
  ];
  expect(cleanMappings(smaps.join(''))).toEqual([]);
});

it.runIf(process.platform === 'linux')('unmaps pages of the program, which go on working', () => {
  const before = programKilobytes();
  releaseProgramPages();
  expect(programKilobytes()).toBeLessThan(before);
  expect(JSON.parse('{"a":[1]}')).toEqual({ a: [1] });
});

/** Of node itself, resident. */
function programKilobytes(): number {
  let sum = 0;
  for (const text of readFileSync('/proc/self/smaps', 'latin1').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    if (text.split('\n', 1)[0]?.endsWith(process.execPath)) sum += Number(/^Rss: +(\d+) kB$/m.exec(text)?.[1]);
  }
  return sum;
}
