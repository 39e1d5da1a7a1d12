import { describe, expect, it } from 'vitest';
import { inconsistencies, proxySnapshot, resourceEntry, versionOf } from '../../../../src/control/serve/snapshot.ts';
import { CLUSTER } from '../../../../src/control/serve/type-urls.ts';
import { pack } from '../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { Listener } from '../../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { TcpProxy } from '../../../../src/xds/proto/gen/envoy/extensions/filters/network/tcp_proxy/v3.ts';
import { edsCluster, endpoints, httpListener, routesTo } from '../../../support/control-plane.ts';

describe('snapshot', () => {
  it('gives the same resource the same version, and another one another', () => {
    expect(edsCluster('a').version).toBe(edsCluster('a').version);
    expect(edsCluster('a', { connect_timeout: 1 }).version).not.toBe(edsCluster('a').version);
    expect(edsCluster('a').version).toMatch(/^[\w-]{16}$/);
  });

  it('gives a type one version, whatever the order', () => {
    const of = (...names: string[]) => new Map(names.map((name) => [name, edsCluster(name)]));
    expect(versionOf(of('a', 'b'))).toBe(versionOf(of('b', 'a')));
    expect(versionOf(of('a', 'b'))).not.toBe(versionOf(of('a')));
  });

  it('is consistent when every reference leads somewhere', () => {
    const all = [httpListener('in', 80, 'web'), routesTo('web', 'a'), edsCluster('a'), endpoints('a', 1)];
    expect(inconsistencies(proxySnapshot('1', all))).toEqual([]);
  });

  it('names each reference that does not', () => {
    const entries = [httpListener('in', 80, 'web'), routesTo('other', 'a', 'b'), edsCluster('a')];
    expect(inconsistencies(proxySnapshot('1', entries))).toEqual([
      'LDS "in" refers to RDS "web", which is not there',
      'RDS "other" refers to CDS "b", which is not there',
      'CDS "a" refers to EDS "a", which is not there',
    ]);
  });

  it('sees references of TCP proxies, mirrors and service names', () => {
    const tcp = resourceEntry(Listener, {
      name: 'tcp',
      default_filter_chain: {
        filters: [
          {
            name: 'tcp',
            typed_config: pack(TcpProxy, {
              stat_prefix: 't',
              weighted_clusters: { clusters: [{ name: 'x', weight: 1 }] },
            }),
          },
        ],
      },
    });
    expect(tcp.references).toEqual([{ typeUrl: CLUSTER, name: 'x' }]);
    const mirrored = resourceEntry(RouteConfiguration, {
      name: 'm',
      virtual_hosts: [
        {
          name: 'h',
          domains: ['*'],
          routes: [
            { match: { prefix: '/' }, route: { cluster: 'a', request_mirror_policies: [{ cluster: 'shadow' }] } },
          ],
        },
      ],
    });
    expect(mirrored.references.map(({ name }) => name)).toEqual(['a', 'shadow']);
    expect(edsCluster('a', { eds_cluster_config: { service_name: 'svc' } }).references[0]?.name).toBe('svc');
    expect(resourceEntry(Cluster, { name: 's', type: 'STATIC' }).references).toEqual([]);
  });

  it('refuses a resource without a name', () => {
    expect(() => resourceEntry(Cluster, {})).toThrow('CDS resource without a name');
  });
});
