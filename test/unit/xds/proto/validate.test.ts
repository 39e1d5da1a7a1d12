import { describe, expect, it } from 'vitest';
import { decode, encode, fromJson, type MessageType, Problems, validate } from '../../../../src/xds/proto/codec.ts';
import { Bootstrap } from '../../../../src/xds/proto/gen/envoy/config/bootstrap/v3.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { HeaderValueOption, HealthCheck, SocketAddress } from '../../../../src/xds/proto/gen/envoy/config/core/v3.ts';
import {
  Route,
  RouteMatch,
  VirtualHost,
  WeightedCluster,
} from '../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { HTTPFault } from '../../../../src/xds/proto/gen/envoy/extensions/filters/http/fault/v3.ts';

function problemsOf<T>(type: MessageType<T>, json: unknown): string[] {
  const problems = new Problems();
  fromJson(type, json, problems);
  return problems.list.map((problem) => `${problem.path}: ${problem.reason}`);
}

describe('the rules of the protos', () => {
  it.each<[string, { typeName: string }, unknown, string[]]>([
    ['a string that must not be empty', VirtualHost, { domains: ['*'] }, ['name: must not be empty']],
    ['a list with a least length', VirtualHost, { name: 'a' }, ['domains: must have at least 1 item']],
    [
      'a header value in a list',
      VirtualHost,
      { name: 'a', domains: ['x\ny'] },
      ['domains[0]: must be without NUL, CR and LF, got "x\\ny"'],
    ],
    [
      'a required oneof',
      RouteMatch,
      {},
      [
        'one of "prefix", "path", "safe_regex", "connect_matcher", "path_separated_prefix", "path_match_policy" is required',
      ].map((s) => `: ${s}`),
    ],
    ['a required message', Route, { redirect: {} }, ['match: is required']],
    [
      'a negative duration without a rule',
      Route,
      { match: { prefix: '/' }, route: { cluster: 'a', timeout: '-1s', idle_timeout: '-0s' } },
      ['route.timeout: must not be negative'],
    ],
    ['a pattern', RouteMatch, { path_separated_prefix: '/a/' }, ['path_separated_prefix: must match ^[^?#]+[^?#/]$']],
    [
      'a number with an upper bound',
      SocketAddress,
      { address: 'a', port_value: 65_536 },
      ['port_value: must be at most 65535'],
    ],
    [
      'a wrapper with a lower bound',
      Cluster,
      { name: 'a', ring_hash_lb_config: { maximum_ring_size: 9_000_000 } },
      ['ring_hash_lb_config.maximum_ring_size: must be at most 8388608'],
    ],
    ['a duration', Cluster, { name: 'a', connect_timeout: '0s' }, ['connect_timeout: must be greater than 0s']],
    [
      'a duration of one ms',
      Cluster,
      { name: 'a', dns_refresh_rate: '0.001s' },
      ['dns_refresh_rate: must be greater than 0.001s'],
    ],
    [
      'required durations',
      HealthCheck,
      { tcp_health_check: {}, unhealthy_threshold: 1, healthy_threshold: 1 },
      ['timeout: is required', 'interval: is required'],
    ],
    [
      'a nested message',
      Bootstrap,
      { static_resources: { clusters: [{}] } },
      ['static_resources.clusters[0].name: must not be empty'],
    ],
    ['a strict value of a list', WeightedCluster, {}, ['clusters: must have at least 1 item']],
    ['a required message in a wrapper of one', HeaderValueOption, {}, ['header: is required']],
    [
      'a status code',
      HTTPFault,
      { abort: { http_status: 100, percentage: { numerator: 1 } } },
      ['abort.http_status: must be at least 200'],
    ],
  ])('report %s', (_, type, json, expected) => {
    expect(problemsOf(type, json)).toEqual(expected);
  });

  it('pass what is sound', () => {
    expect(
      problemsOf(VirtualHost, {
        name: 'a',
        domains: ['*'],
        routes: [{ match: { prefix: '' }, route: { cluster: 'c' } }],
      }),
    ).toEqual([]);
    expect(problemsOf(Cluster, { name: 'a', connect_timeout: '0.25s' })).toEqual([]);
  });

  it('are checked after decoding, unless told not to', () => {
    const bytes = encode(VirtualHost, { domains: ['*'] });
    const problems = new Problems();
    decode(VirtualHost, bytes, problems, '', { validate: false });
    expect(problems.ok).toBe(true);
    decode(VirtualHost, bytes, problems, 'virtual_hosts[2]');
    expect(problems.list).toEqual([{ path: 'virtual_hosts[2].name', reason: 'must not be empty' }]);
  });

  it('can be checked alone', () => {
    const problems = new Problems();
    validate(VirtualHost, { name: 'a' }, problems, 'x');
    expect(problems.list).toEqual([{ path: 'x.domains', reason: 'must have at least 1 item' }]);
  });
});
