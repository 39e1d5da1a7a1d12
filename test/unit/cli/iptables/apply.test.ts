import { describe, expect, it } from 'vitest';
import { applyRules, cleanRules, findBackend, type Run, type RunResult } from '../../../../src/cli/iptables/apply.ts';
import { type IptablesFlags, interception, iptablesCommand } from '../../../../src/cli/iptables/index.ts';
import { ruleSet } from '../../../../src/cli/iptables/rules.ts';

const OK: RunResult = { status: 0, stdout: '', stderr: '' };
const BROKEN: RunResult = { status: 1, stdout: '', stderr: 'Fatal:\n cannot initialize' };

/** Programs by the beginning of their command line; the rest succeeds and prints nothing. */
function programs(answers: Readonly<Record<string, RunResult>>, seen: string[] = []): Run {
  return (program, args) => {
    const line = [program, ...args].join(' ');
    seen.push(line);
    return Object.entries(answers).find(([start]) => line.startsWith(start))?.[1] ?? OK;
  };
}

describe('the backend of iptables', () => {
  it('is the one that has rules already', () => {
    const used: RunResult = { ...OK, stdout: '*nat\n-A OUTPUT -j KUBE-SERVICES\nCOMMIT\n' };
    expect(findBackend(programs({ 'iptables-legacy-save': used }))).toBe('legacy');
    expect(findBackend(programs({ 'iptables-nft-save': used }))).toBe('nft');
  });
  it('is nft otherwise, and legacy where the kernel has no nft', () => {
    expect(findBackend(programs({}))).toBe('nft');
    expect(findBackend(programs({ 'iptables-nft-save': BROKEN }))).toBe('legacy');
  });
  it('is missing with a remedy', () => {
    const run = programs({ 'iptables-nft-save': BROKEN, 'iptables-legacy-save': BROKEN });
    expect(() => findBackend(run)).toThrow(
      /cannot initialize.*needs the package iptables and the capability NET_ADMIN/,
    );
  });
});

describe('applying rules', () => {
  const options = interception(iptablesCommand().opts<IptablesFlags>());

  it('routes marked packets here once', () => {
    const seen: string[] = [];
    applyRules([ruleSet(options, 'v4')], 'nft', true, programs({}, seen));
    expect(seen).toEqual([
      'iptables-nft-save',
      'iptables-nft-restore --noflush --wait=30',
      'ip -4 rule list',
      'ip -4 rule add fwmark 1337 lookup 133',
      'ip -4 route replace local 0.0.0.0/0 dev lo table 133',
    ]);
    const again: string[] = [];
    const there: RunResult = { ...OK, stdout: '32765:\tfrom all fwmark 0x539 lookup 133\n' };
    applyRules([ruleSet(options, 'v4')], 'nft', true, programs({ 'ip -4 rule list': there }, again));
    expect(again).not.toContain('ip -4 rule add fwmark 1337 lookup 133');
  });

  it('fails with the program that failed', () => {
    const run = programs({ 'iptables-nft-restore': { ...BROKEN, stderr: 'line 7 failed' } });
    expect(() => applyRules([ruleSet(options, 'v4')], 'nft', false, run)).toThrow(
      'iptables-nft-restore: line 7 failed',
    );
  });

  it('cleans both backends', () => {
    const seen: string[] = [];
    const there: RunResult = { ...OK, stdout: '*nat\n:ISTIO_OUTPUT - [0:0]\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n' };
    cleanRules(['v4'], programs({ 'iptables-nft-save': there, 'iptables-legacy-save': there }, seen));
    expect(seen.filter((line) => line.includes('restore'))).toHaveLength(2);
  });
});
