import type { TcpProxy } from '../../model/listener.ts';
import type { Admit } from '../filters/filter.ts';
import { NETWORK_FILTER_TYPES } from '../filters/standard.ts';
import type { Stats } from '../telemetry/metrics/store.ts';

/** What the filters before a TCP proxy say of its connections: the first that does not let one pass; null: there are none. */
export function admission({ admission: filters = [] }: TcpProxy, stats: Stats): Admit | null {
  const admits = filters.map(({ kind, config }) => {
    const type = NETWORK_FILTER_TYPES.find((one) => one.kind === kind);
    if (type === undefined) throw new TypeError(`there is no network filter ${kind}`);
    return type.create(config, stats);
  });
  const [only] = admits;
  if (only === undefined) return null;
  if (admits.length === 1) return only;
  return (info) => {
    for (const admit of admits) {
      const denial = admit(info);
      if (denial !== null) return denial;
    }
    return null;
  };
}
