import { describe, expect, it } from 'vitest';
import { rbac } from '../../../../../src/proxy/filters/rbac/rbac.ts';
import { RBAC, RBACPerRoute } from '../../../../../src/xds/proto/gen/envoy/extensions/filters/http/rbac/v3.ts';
import { context, decoded, FakeStream, route as routeConfig, stat } from '../support.ts';

const ANY = { any: true };
const on = (prefix: string) => ({ permissions: [{ url_path: { path: { prefix } } }], principals: [ANY] });

function filter(json: unknown) {
  const { config, problems } = decoded(rbac, RBAC, json);
  expect(problems).toEqual([]);
  const ctx = context();
  const made = rbac.create(config, ctx);
  const ask = (path: string, route: unknown = null, stream = new FakeStream()) => {
    stream.request.path = path;
    const result = made.onRequestHead!(stream, route === null ? null : routeConfig(rbac, RBACPerRoute, route));
    return { stream, result };
  };
  return { ask, made, stats: ctx.stats };
}

/** Dynamic metadata as plain objects. */
const metadata = ({ info }: FakeStream): unknown =>
  info.metadata && Object.fromEntries([...info.metadata].map(([name, values]) => [name, Object.fromEntries(values)]));

describe('rbac', () => {
  it('passes what a policy allows and denies the rest, as Envoy says it', () => {
    const { ask, stats } = filter({ rules: { policies: { 'my policy': on('/a') } } });
    expect(ask('/a').result).toBe(0);
    const { stream, result } = ask('/b');
    expect(result).toBe(2);
    expect(stream.lastReply).toMatchObject({
      status: 403,
      body: 'RBAC: access denied',
      details: 'rbac_access_denied_matched_policy[none]',
      flags: 0,
    });
    expect(stream.lastReply!.reason).toContain('no RBAC policy of this proxy allows the request');
    expect([stat(stats, 'http.in.rbac.allowed'), stat(stats, 'http.in.rbac.denied')]).toEqual([1, 1]);
  });

  it('names the policy that denies', () => {
    const { ask } = filter({ rules: { action: 'DENY', policies: { 'my policy': on('/a') } } });
    expect(ask('/b').result).toBe(0);
    const reply = ask('/a').stream.lastReply!;
    expect(reply.details).toBe('rbac_access_denied_matched_policy[my_policy]');
    expect(reply.reason).toBe('Access is denied by the RBAC policy "my policy" of this proxy.');
  });

  it('counts shadow rules and enforces them not', () => {
    const { ask, stats } = filter({
      shadow_rules: { action: 'DENY', policies: { s: on('/a') } },
      shadow_rules_stat_prefix: 'dry_',
    });
    expect([ask('/a').result, ask('/b').result]).toEqual([0, 0]);
    expect(stat(stats, 'http.in.rbac.dry_.shadow_denied')).toBe(1);
    expect(stat(stats, 'http.in.rbac.dry_.shadow_allowed')).toBe(1);
    expect(stat(stats, 'http.in.rbac.allowed')).toBe(0);
  });

  it('counts by policy, once asked to, under the prefixes of its own', () => {
    const { ask, stats } = filter({
      rules_stat_prefix: 'pre',
      shadow_rules_stat_prefix: 'dry',
      track_per_rule_stats: true,
      rules: { policies: { one: on('/a'), two: on('/b') } },
      shadow_rules: { action: 'DENY', policies: { three: on('/a') } },
    });
    for (const path of ['/a', '/a', '/b', '/c']) ask(path);
    expect(stat(stats, 'http.in.rbac.pre.policy.one.allowed')).toBe(2);
    expect(stat(stats, 'http.in.rbac.pre.policy.two.allowed')).toBe(1);
    expect(stat(stats, 'http.in.rbac.dry.policy.three.shadow_denied')).toBe(2);
    expect(stat(stats, 'http.in.rbac.pre.denied')).toBe(1);
    const series = [...stats.root.series()].find(({ dotted }) => dotted.endsWith('one.allowed'));
    expect(series).toMatchObject({
      name: 'envoy_http_rbac_policy_allowed',
      labels: { envoy_rbac_policy_name: 'one', envoy_rbac_http_prefix: 'pre', envoy_http_conn_manager_prefix: 'in' },
    });
  });

  it('counts no policy without being asked to', () => {
    const { ask, stats } = filter({ rules: { policies: { one: on('/a') } } });
    ask('/a');
    expect([...stats.root.series()].filter(({ dotted }) => dotted.includes('policy'))).toEqual([]);
  });

  it('a LOG rule passes everything and says what is to be logged', () => {
    const { ask } = filter({ rules: { action: 'LOG', policies: { s: on('/a') } } });
    expect(ask('/a').result).toBe(0);
    expect(metadata(ask('/a').stream)).toEqual({
      'envoy.filters.http.rbac': { enforced_effective_policy_id: 's', enforced_engine_result: 'allowed' },
      'envoy.common': { access_log_hint: true },
    });
    expect(metadata(ask('/b').stream)).toMatchObject({ 'envoy.common': { access_log_hint: false } });
  });

  it('publishes what it decided, as Envoy does', () => {
    const { ask } = filter({
      rules_stat_prefix: 'pre_',
      rules: { policies: { one: on('/a') } },
      shadow_rules: { action: 'DENY', policies: { s: on('/a') } },
    });
    expect(metadata(ask('/a').stream)).toEqual({
      'envoy.filters.http.rbac': {
        pre_enforced_effective_policy_id: 'one',
        pre_enforced_engine_result: 'allowed',
        shadow_effective_policy_id: 's',
        shadow_engine_result: 'denied',
      },
    });
    expect(metadata(ask('/b').stream)).toEqual({
      'envoy.filters.http.rbac': { pre_enforced_engine_result: 'denied', shadow_engine_result: 'allowed' },
    });
  });

  it('adds to what other filters published, and changes none of it', () => {
    const first = filter({ rules_stat_prefix: 'a_', rules: { action: 'DENY', policies: { x: on('/x') } } });
    const second = filter({ rules_stat_prefix: 'b_', rules: { policies: { one: on('/a') } } });
    const both = (path: string): FakeStream => second.ask(path, null, first.ask(path).stream).stream;
    const expected = {
      'envoy.filters.http.rbac': {
        a_enforced_engine_result: 'allowed',
        b_enforced_effective_policy_id: 'one',
        b_enforced_engine_result: 'allowed',
      },
    };
    expect(metadata(both('/a'))).toEqual(expected);
    expect(metadata(first.ask('/a').stream)).toEqual({
      'envoy.filters.http.rbac': { a_enforced_engine_result: 'allowed' },
    });
    // The same outcome again shares what was made for the first.
    expect(both('/a').info.metadata).toBe(both('/a').info.metadata);
    const other = new FakeStream();
    other.info.metadata = new Map([['x', new Map([['y', 1]])]]);
    second.ask('/a', null, other);
    expect(metadata(other)).toMatchObject({ x: { y: 1 } });
    expect(metadata(both('/a'))).toEqual(expected);
  });

  it('a route has rules of its own, counted with the filter', () => {
    const { ask, stats } = filter({
      rules_stat_prefix: 'pre',
      track_per_rule_stats: true,
      rules: { policies: { one: on('/a') } },
      shadow_rules: { policies: {} },
    });
    const route = {
      rbac: {
        rules_stat_prefix: 'rt_',
        track_per_rule_stats: true,
        rules: { action: 'DENY', policies: { r: on('/a') } },
      },
    };
    const { stream } = ask('/a', route);
    expect(stream.lastReply?.details).toBe('rbac_access_denied_matched_policy[r]');
    expect(metadata(stream)).toEqual({
      'envoy.filters.http.rbac': { rt_enforced_effective_policy_id: 'r', rt_enforced_engine_result: 'denied' },
    });
    expect(stat(stats, 'http.in.rbac.pre.policy.r.denied')).toBe(1);
    expect(stat(stats, 'http.in.rbac.shadow_allowed')).toBe(0);
    expect(ask('/b', route).result).toBe(0);
  });

  it('a route without rules turns it off', () => {
    const { ask, stats } = filter({ rules: { policies: {} } });
    const { stream, result } = ask('/a', {});
    expect([result, stream.info.metadata]).toEqual([0, null]);
    expect([stat(stats, 'http.in.rbac.allowed'), stat(stats, 'http.in.rbac.denied')]).toEqual([0, 0]);
  });

  it('describes itself, and a route that says otherwise', () => {
    const words = (json: unknown): string | undefined => filter(json).made.describe!(null)?.says;
    expect(words({})).toBeUndefined();
    expect(words({ rules: {} })).toBe('denies everything: no policy allows');
    const deny = { action: 'DENY', policies: { p: on('/a'), q: on('/b') } };
    expect(words({ rules: deny, shadow_rules: { policies: { r: on('/c') } } })).toBe(
      'denies what a policy matches: p, q; in shadow, without effect: allows only what a policy matches: r',
    );
    expect(filter({ rules: deny }).made.describe!(routeConfig(rbac, RBACPerRoute, {}))).toBeNull();
  });
});
