import type { RBACPerRoute, RBAC as WireRbac } from '../../../xds/proto/gen/envoy/extensions/filters/http/rbac/v3.ts';
import type { Metadata, StreamInfo } from '../../telemetry/stream-info.ts';
import {
  type FilterContext,
  type FilterDescription,
  FilterResult,
  type FilterStream,
  type HttpFilter,
  type HttpFilterType,
} from '../filter.ts';
import { decodeRbac, type RbacConfig, type RbacRules } from './config.ts';
import { deniedDetails, Engine } from './engine.ts';

/** A config with its rules compiled: what a route carries. */
export interface Rbac {
  readonly config: RbacConfig;
  readonly rules: Engine | null;
  readonly shadow: Engine | null;
}

export const rbac: HttpFilterType<RbacConfig, Rbac> = {
  kind: 'rbac',
  configType: 'envoy.extensions.filters.http.rbac.v3.RBAC',
  routeConfigType: 'envoy.extensions.filters.http.rbac.v3.RBACPerRoute',
  decode: (message, problems, warnings, path) => decodeRbac(message as WireRbac, problems, warnings, path),
  // Without a config of its own a route turns the filter off.
  decodeRoute: (message, problems, warnings, path) =>
    compileRbac(decodeRbac((message as RBACPerRoute).rbac ?? {}, problems, warnings, `${path}.rbac`)),
  routeData: { plain: ({ config }) => config, compile: (plain) => compileRbac(plain as RbacConfig) },
  create: (config, context) => new RbacFilter(compileRbac(config), context),
};

function compileRbac(config: RbacConfig): Rbac {
  const { rules, shadowRules } = config;
  return {
    config,
    rules: rules === null ? null : new Engine(rules),
    shadow: shadowRules === null ? null : new Engine(shadowRules),
  };
}

const DOES = { ALLOW: 'allows only', DENY: 'denies', LOG: 'marks for the log' } as const;

function describeRules({ action, policies }: RbacRules): string {
  if (policies.length === 0) return action === 'ALLOW' ? 'denies everything: no policy allows' : 'has no policies';
  return `${DOES[action]} what a policy matches: ${policies.map(({ name }) => name).join(', ')}`;
}

/** Envoy's namespace in the dynamic metadata, whatever the filter is called. */
const NAMESPACE = 'envoy.filters.http.rbac';
const COMMON = 'envoy.common';

/** Lets a request pass or answers 403, by the route's rules or the filter's own. */
class RbacFilter implements HttpFilter<Rbac> {
  readonly #context: FilterContext;
  readonly #own: Rules;
  /** Routes' rules as this filter counts them: they may be shared with other listeners. */
  readonly #routes = new WeakMap<Rbac, Rules>();
  readonly #allowed: number;
  readonly #denied: number;
  readonly #shadowAllowed: number;
  readonly #shadowDenied: number;

  constructor(own: Rbac, context: FilterContext) {
    this.#context = context;
    const { rulesStatPrefix: enforced, shadowRulesStatPrefix: shadow } = own.config;
    this.#allowed = counter(context, enforced, 'allowed');
    this.#denied = counter(context, enforced, 'denied');
    this.#shadowAllowed = counter(context, shadow, 'shadow_allowed');
    this.#shadowDenied = counter(context, shadow, 'shadow_denied');
    this.#own = new Rules(own, own.config, context);
  }

  onRequestHead(stream: FilterStream, route: Rbac | null): FilterResult {
    const rules = route === null ? this.#own : this.#rulesOf(route);
    const { enforced, shadow } = rules;
    const { info } = stream;
    const { stats } = this.#context;
    let shadowed = -1;
    if (shadow !== null) {
      shadowed = shadow.match(info);
      stats.inc(shadow.allows(shadowed) ? this.#shadowAllowed : this.#shadowDenied);
      if (shadowed >= 0) rules.countShadow(shadowed);
    }
    if (enforced === null) {
      if (shadow !== null) rules.publish(info, shadowed, -1);
      return FilterResult.Next;
    }
    const matched = enforced.match(info);
    if (matched >= 0) rules.countEnforced(matched);
    rules.publish(info, shadowed, matched);
    if (enforced.allows(matched)) {
      stats.inc(this.#allowed);
      return FilterResult.Next;
    }
    stats.inc(this.#denied);
    const policy = enforced.policies[matched];
    stream.reply({
      status: 403,
      body: 'RBAC: access denied',
      details: policy?.details ?? NONE_MATCHED,
      flags: 0,
      reason: reasonOf(policy?.name, info),
    });
    return FilterResult.Replied;
  }

  describe(route: Rbac | null): FilterDescription | null {
    const { rules, shadowRules } = route?.config ?? this.#own.config;
    const words: string[] = [];
    if (rules !== null) words.push(describeRules(rules));
    if (shadowRules !== null) words.push(`in shadow, without effect: ${describeRules(shadowRules)}`);
    return words.length === 0 ? null : { says: words.join('; '), fault: null };
  }

  #rulesOf(route: Rbac): Rules {
    let rules = this.#routes.get(route);
    if (rules === undefined) {
      rules = new Rules(route, this.#own.config, this.#context);
      this.#routes.set(route, rules);
    }
    return rules;
  }
}

const NONE_MATCHED = deniedDetails('none');

function reasonOf(policy: string | undefined, info: StreamInfo): string {
  const origin = info.route?.origin ?? '';
  const where = origin === '' ? '' : ` (route: ${origin})`;
  return policy === undefined
    ? `Access is denied: no RBAC policy of this proxy allows the request${where}.`
    : `Access is denied by the RBAC policy ${JSON.stringify(policy)} of this proxy${where}.`;
}

/** What a filter publishes of one outcome; all requests that have it share it. */
interface Outcome {
  readonly metadata: Metadata;
  /** The metadata of other filters that it was last joined to, and the two together. */
  base: Metadata | null;
  joined: Metadata | null;
}

/** One config's rules within one filter: its slots of statistics and what it publishes. */
class Rules {
  readonly config: RbacConfig;
  readonly enforced: Engine | null;
  readonly shadow: Engine | null;
  readonly #context: FilterContext;
  readonly #filter: RbacConfig;
  /** Stat slots by policy, -1 until a request matched it; null: policies are not counted. */
  readonly #enforcedSlots: Int32Array | null;
  readonly #shadowSlots: Int32Array | null;
  /** By the policy of the shadow rules and that of the enforced. */
  readonly #outcomes: (Outcome | undefined)[];
  readonly #width: number;

  /** `filter`: the config of the filter itself, under whose prefix routes are counted too (Envoy). */
  constructor({ config, rules, shadow }: Rbac, filter: RbacConfig, context: FilterContext) {
    this.config = config;
    this.enforced = rules;
    this.shadow = shadow;
    this.#filter = filter;
    this.#context = context;
    const slots = (engine: Engine | null): Int32Array | null =>
      engine === null || !config.trackPerRuleStats ? null : new Int32Array(engine.policies.length).fill(-1);
    this.#enforcedSlots = slots(rules);
    this.#shadowSlots = slots(shadow);
    this.#width = 1 + (rules?.policies.length ?? 0);
    this.#outcomes = [];
  }

  countEnforced(matched: number): void {
    const slots = this.#enforcedSlots;
    if (slots !== null) this.#count(slots, matched, this.enforced!, this.#filter.rulesStatPrefix, '');
  }
  countShadow(matched: number): void {
    const slots = this.#shadowSlots;
    if (slots !== null) this.#count(slots, matched, this.shadow!, this.#filter.shadowRulesStatPrefix, 'shadow_');
  }

  #count(slots: Int32Array, matched: number, engine: Engine, prefix: string, kind: string): void {
    if (slots[matched]! < 0) {
      const stat = `${kind}${engine.allows(matched) ? 'allowed' : 'denied'}`;
      slots[matched] = counter(this.#context, prefix, stat, engine.policies[matched]!.name);
    }
    this.#context.stats.inc(slots[matched]!);
  }

  /** Says in the stream's metadata what was decided; makes no object but for the first of its kind. */
  publish(info: StreamInfo, shadowed: number, matched: number): void {
    const at = (shadowed + 1) * this.#width + matched + 1;
    const outcome = this.#outcomes[at] ?? this.#addOutcome(at, shadowed, matched);
    const base = info.metadata;
    if (base === null) {
      info.metadata = outcome.metadata;
      return;
    }
    // What came before is one of a few shared maps too, mostly the same.
    if (outcome.base !== base) {
      outcome.base = base;
      outcome.joined = join(base, outcome.metadata);
    }
    info.metadata = outcome.joined;
  }

  #addOutcome(at: number, shadowed: number, matched: number): Outcome {
    const own = new Map<string, unknown>();
    const say = (engine: Engine | null, index: number, prefix: string, kind: string): void => {
      if (engine === null) return;
      if (index >= 0) own.set(`${prefix}${kind}_effective_policy_id`, engine.policies[index]!.name);
      own.set(`${prefix}${kind}_engine_result`, engine.allows(index) ? 'allowed' : 'denied');
    };
    const { config } = this;
    say(this.shadow, shadowed, config.shadowRulesStatPrefix || this.#filter.shadowRulesStatPrefix, 'shadow');
    say(this.enforced, matched, config.rulesStatPrefix || this.#filter.rulesStatPrefix, 'enforced');
    const metadata = new Map<string, ReadonlyMap<string, unknown>>([[NAMESPACE, own]]);
    if (this.enforced?.action === 'LOG') metadata.set(COMMON, new Map([['access_log_hint', matched >= 0]]));
    const outcome: Outcome = { metadata, base: null, joined: null };
    this.#outcomes[at] = outcome;
    return outcome;
  }
}

/** Both, key by key; the second wins. */
function join(first: Metadata, second: Metadata): Metadata {
  const joined = new Map(first);
  for (const [namespace, values] of second)
    joined.set(namespace, new Map([...(joined.get(namespace) ?? []), ...values]));
  return joined;
}

function counter({ stats, statPrefix }: FilterContext, prefix: string, stat: string, policy?: string): number {
  const dotted = ['http', statPrefix, 'rbac', ...(prefix === '' ? [] : [prefix])];
  if (policy !== undefined) dotted.push('policy', policy);
  return stats.counter(
    `envoy_http_rbac_${policy === undefined ? '' : 'policy_'}${stat}`,
    {
      ...(policy === undefined ? {} : { envoy_rbac_policy_name: policy }),
      ...(prefix === '' ? {} : { envoy_rbac_http_prefix: prefix }),
      envoy_http_conn_manager_prefix: statPrefix,
    },
    [...dotted, stat].join('.'),
  );
}
