import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type IptablesFlags, interception, iptablesCommand, nameservers } from '../../../../src/cli/iptables/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'remora-resolv-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function flags(...args: string[]): IptablesFlags {
  const command = iptablesCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.parseOptions(args);
  return command.opts();
}

describe('remora iptables', () => {
  it.each([
    ['--include-inbound-ports', '80-90'],
    ['--exclude-outbound-ports', '0'],
    ['--include-outbound-ranges', '10.0.0.0'],
    ['--exclude-outbound-ranges', '10.0.0.0/33'],
    ['--exclude-interfaces', 'eth0;reboot'],
    ['--uid', 'root'],
    ['--inbound-mode', 'tproxy'],
    ['--dns-servers', 'dns.example'],
  ])('refuses %s %s', (flag, value) => expect(() => flags(flag, value)).toThrow(flag));

  it('refuses to capture the proxy’s own traffic', () => {
    expect(() => interception(flags('--uid=', '--gid='))).toThrow('would come back to it');
  });

  it('says which of several items is wrong, and refuses one port for both listeners', () => {
    expect(() => flags('--exclude-inbound-ports', '80,x')).toThrow('"x" is no port');
    expect(() => flags('--uid', '1337,root')).toThrow('"root" is no number of a user');
    expect(() => interception(flags('--outbound-port', '15006'))).toThrow('are both 15006');
  });

  it('captures DNS to the servers of resolv.conf', () => {
    const file = join(folder, 'resolv.conf');
    writeFileSync(file, '# nameserver 1.1.1.1\nnameserver 10.96.0.10\n nameserver fd00::10 # x\nsearch a b\n');
    expect(nameservers(file)).toEqual(['10.96.0.10/32', 'fd00::10/128']);
    expect(interception(flags('--redirect-dns'), file).dns).toEqual({
      port: 15053,
      servers: ['10.96.0.10/32', 'fd00::10/128'],
    });
    expect(() => interception(flags('--redirect-dns'), join(folder, 'none'))).toThrow('--dns-servers');
  });
});
