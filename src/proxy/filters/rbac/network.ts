import type { Stats } from '../../telemetry/metrics/store.ts';
import type { NetworkFilterType } from '../filter.ts';
import { decodeNetworkRbac, type NetworkRbacConfig } from './config.ts';
import { deniedDetails, Engine } from './engine.ts';

/**
 * Lets a connection of bytes pass or ends it before anything is dialled for it, whoever would speak first; Envoy asks at
 * the first byte of the client, which a server that speaks first does not wait for. Conditions on requests never hold.
 * `enforcement_type` makes no difference: nothing that is asked changes while a connection is open.
 */
export const networkRbac: NetworkFilterType<NetworkRbacConfig> = {
  kind: 'rbac',
  configType: 'envoy.extensions.filters.network.rbac.v3.RBAC',
  decode: decodeNetworkRbac,
  create({ rbac, statPrefix }, stats) {
    const enforced = rbac.rules === null ? null : new Engine(rbac.rules);
    const shadow = rbac.shadowRules === null ? null : new Engine(rbac.shadowRules);
    const [allowed, denied] = [counter(stats, statPrefix, '', 'allowed'), counter(stats, statPrefix, '', 'denied')];
    const prefix = rbac.shadowRulesStatPrefix;
    const shadowAllowed = counter(stats, statPrefix, prefix, 'shadow_allowed');
    const shadowDenied = counter(stats, statPrefix, prefix, 'shadow_denied');
    return (info) => {
      info.remote = info.connection.remote.host;
      if (shadow !== null) stats.inc(shadow.allows(shadow.match(info)) ? shadowAllowed : shadowDenied);
      if (enforced === null) return null;
      const matched = enforced.match(info);
      if (enforced.allows(matched)) {
        stats.inc(allowed);
        return null;
      }
      stats.inc(denied);
      const policy = enforced.policies[matched];
      return {
        details: policy?.details ?? NONE_MATCHED,
        reason: policy === undefined ? NONE : `the RBAC policy ${JSON.stringify(policy.name)} denies the connection`,
      };
    };
  },
};

const NONE_MATCHED = deniedDetails('none');
const NONE = 'no RBAC policy allows the connection';

/** `tcp.` of a filter's prefix ends with its dot, as in Envoy. */
function counter(stats: Stats, statPrefix: string, prefix: string, stat: string): number {
  const labels = {
    ...(prefix === '' ? {} : { envoy_rbac_prefix: prefix }),
    ...(statPrefix === '' ? {} : { envoy_tcp_prefix: statPrefix.replace(/\.$/, '') }),
  };
  return stats.counter(`envoy_rbac_${stat}`, labels, `${statPrefix}rbac.${prefix}${stat}`);
}
