import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import { HeaderOption } from '../filters/header-option.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { OriginalIp } from './original-ip.ts';

/** Who this proxy is: the bootstrap's node. */
export interface NodeIdentity {
  readonly id: string;
  readonly cluster: string;
}

/** What few connection managers are asked to do to a request's head: one null check where nothing is asked. */
export class RequestOptions {
  /** Null: X-Forwarded-For alone says. */
  readonly originalIp: OriginalIp | null;
  /** IPv4 peers are written as IPv6. */
  readonly mapped: boolean;
  readonly #early: readonly (string | HeaderOption)[];
  readonly #port: boolean;
  /** X-Forwarded-Port of callers is not believed. */
  readonly #edge: boolean;
  readonly #scheme: string;
  readonly #node: NodeIdentity | null;

  constructor(config: HttpConnectionManager, node: NodeIdentity) {
    this.originalIp = config.originalIp.length === 0 ? null : new OriginalIp(config.originalIp);
    this.mapped = config.ipv4AsMapped;
    this.#early = config.earlyMutations.map((one) => ('remove' in one ? one.remove : new HeaderOption(one.set)));
    this.#port = config.appendXForwardedPort;
    this.#edge = config.useRemoteAddress && config.xffNumTrustedHops === 0;
    this.#scheme = config.schemeToSet;
    this.#node = config.addUserAgent ? node : null;
  }

  /** `early_header_mutation_extensions`: before anything else looks at the headers. */
  mutateEarly(head: RequestHead, info: StreamInfo): void {
    for (const step of this.#early) {
      if (typeof step === 'string') head.headers.remove(step);
      else step.apply(head.headers, info);
    }
  }

  /** Port and scheme, once X-Forwarded-Proto is there. */
  setTarget(head: RequestHead, info: StreamInfo): void {
    const { headers } = head;
    if (this.#port && (this.#edge || !headers.has('x-forwarded-port'))) {
      headers.set('x-forwarded-port', String(info.connection.local.port));
    }
    if (this.#scheme !== '') {
      head.scheme = this.#scheme;
      headers.set('x-forwarded-proto', this.#scheme);
    }
  }

  /** `add_user_agent`: which service calls. */
  setCaller({ headers }: RequestHead): void {
    if (this.#node === null) return;
    const { id, cluster } = this.#node;
    headers.set('x-envoy-downstream-service-cluster', cluster);
    if (!headers.get('user-agent')) headers.set('user-agent', cluster);
    if (id !== '') headers.set('x-envoy-downstream-service-node', id);
  }
}

/** Null when there is nothing to do. */
export function requestOptions(config: HttpConnectionManager, node: NodeIdentity): RequestOptions | null {
  const asked =
    config.originalIp.length > 0 ||
    config.earlyMutations.length > 0 ||
    config.ipv4AsMapped ||
    config.appendXForwardedPort ||
    config.schemeToSet !== '' ||
    config.addUserAgent;
  return asked ? new RequestOptions(config, node) : null;
}
