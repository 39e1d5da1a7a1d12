import type { Random } from '../../base/random.ts';
import type { PerFilterConfig } from '../../model/route.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import type { RuntimeValues } from '../filters/filter.ts';
import type { HeaderMutator } from './header-ops.ts';
import type { HostRewriter } from './rewrite.ts';

/** Where a forwarded request goes, with all that depends on which of the weighted clusters it is. */
export interface ClusterTarget {
  /** '' when `clusterHeader` names the request header that holds the name. */
  readonly cluster: string;
  /** Lower case; '' for none. */
  readonly clusterHeader: string;
  readonly requestMutations: HeaderMutator | null;
  readonly responseMutations: HeaderMutator | null;
  readonly hostRewrite: HostRewriter | null;
  /** By filter name, the most specific level's entry: weighted cluster, route, virtual host, route table. */
  readonly perFilterConfig: PerFilterConfig;
}

/** Chooses the target of a request. null: the weights sum to 0, and the caller answers 503. */
export interface TargetPicker {
  pick(head: RequestHead, random: Random): ClusterTarget | null;
  readonly targets: readonly { readonly target: ClusterTarget; readonly weight: number }[];
}

export function singleTarget(target: ClusterTarget): TargetPicker {
  return new SingleTarget(target);
}

/** A target without others picks itself: one object less to read. */
class SingleTarget implements ClusterTarget, TargetPicker {
  readonly cluster: string;
  readonly clusterHeader: string;
  readonly requestMutations: HeaderMutator | null;
  readonly responseMutations: HeaderMutator | null;
  readonly hostRewrite: HostRewriter | null;
  readonly perFilterConfig: PerFilterConfig;

  constructor(target: ClusterTarget) {
    this.cluster = target.cluster;
    this.clusterHeader = target.clusterHeader;
    this.requestMutations = target.requestMutations;
    this.responseMutations = target.responseMutations;
    this.hostRewrite = target.hostRewrite;
    this.perFilterConfig = target.perFilterConfig;
  }

  pick(): ClusterTarget {
    return this;
  }

  get targets(): TargetPicker['targets'] {
    return [{ target: this, weight: 1 }];
  }
}

/**
 * Chooses by weight. With a header name, a header that holds one unsigned 64-bit number takes the place of
 * the random value, so that several proxies in a row choose alike.
 */
export function weightedTargets(targets: TargetPicker['targets'], headerName: string): TargetPicker {
  const bounds: number[] = [];
  let total = 0;
  for (const { weight } of targets) {
    total += weight;
    bounds.push(total);
  }
  if (total === 0) return { pick: () => null, targets };
  return {
    targets,
    pick: (head, random) => {
      let value = headerName === '' ? -1 : headerValue(head.headers.getJoined(headerName), total);
      if (value < 0) value = random.int(total);
      let i = 0;
      while (bounds[i]! <= value) i++;
      return targets[i]!.target;
    },
  };
}

/**
 * As {@link weightedTargets}, with weights that the runtime may override while the proxy runs: an integer under
 * `<prefix>.<cluster>`.
 */
export function runtimeWeightedTargets(
  targets: TargetPicker['targets'],
  headerName: string,
  prefix: string,
  runtime: RuntimeValues,
): TargetPicker {
  const keys = targets.map(({ target }) => `${prefix}.${target.cluster}`);
  const weightAt = (i: number): number => Math.max(0, Math.trunc(runtime.number(keys[i]!, targets[i]!.weight)));
  return {
    targets,
    pick: (head, random) => {
      let total = 0;
      for (let i = 0; i < targets.length; i++) total += weightAt(i);
      if (total === 0) return null;
      let value = headerName === '' ? -1 : headerValue(head.headers.getJoined(headerName), total);
      if (value < 0) value = random.int(total);
      let i = 0;
      for (let bound = weightAt(0); bound <= value; bound += weightAt(i)) i++;
      return targets[i]!.target;
    },
  };
}

/** The cluster's name for this request; '' when the header that should hold it is absent. */
export function clusterName(target: ClusterTarget, head: RequestHead): string {
  return target.clusterHeader === '' ? target.cluster : (head.headers.get(target.clusterHeader) ?? '');
}

function headerValue(text: string | undefined, modulus: number): number {
  if (text === undefined || !/^\d{1,20}$/.test(text)) return -1;
  if (text.length <= 15) return Number(text) % modulus;
  const value = BigInt(text);
  return value > 0xffff_ffff_ffff_ffffn ? -1 : Number(value % BigInt(modulus));
}
