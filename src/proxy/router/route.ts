import type {
  DirectResponseAction,
  ForwardAction,
  PerFilterConfig,
  RetryPolicy,
  Route,
  VirtualHost,
} from '../../model/route.ts';
import type { RouteInfo } from '../telemetry/stream-info.ts';
import type { HeaderMutator } from './header-ops.ts';
import type { Redirector } from './redirect.ts';
import type { HostRewriter, PathRewriter } from './rewrite.ts';
import type { TargetPicker } from './weighted.ts';

/** Sends the request to a cluster. */
export interface CompiledForward {
  readonly kind: 'forward';
  readonly config: ForwardAction;
  readonly targets: TargetPicker;
  /** null: the path stays. */
  readonly pathRewrite: PathRewriter | null;
  /** What the forwarder worked out of the route at its first request, null before. Its own; kept here it needs no search. */
  derived: object | null;
}

/** Answers with a Location. */
export interface CompiledRedirect {
  readonly kind: 'redirect';
  readonly status: number;
  readonly location: Redirector;
}

/** Answers from config. */
export interface CompiledDirect {
  readonly kind: 'direct';
  readonly config: DirectResponseAction;
}

export type CompiledAction = CompiledForward | CompiledRedirect | CompiledDirect;

/** A route with everything about it that can be decided before a request comes. */
export interface CompiledRoute {
  readonly info: RouteInfo;
  readonly action: CompiledAction;
  /**
   * Header changes of route, virtual host and table. A forwarded request applies its target's instead,
   * which hold these and the weighted cluster's own.
   */
  readonly requestMutations: HeaderMutator | null;
  readonly responseMutations: HeaderMutator | null;
  /** By filter name; a forwarded request uses its target's. */
  readonly perFilterConfig: PerFilterConfig;
  /** The route's, else the virtual host's. */
  readonly retryPolicy: RetryPolicy | null;
  /** The route's host rewrite; a target may have its own. */
  readonly hostRewrite: HostRewriter | null;
  /** Bytes of the request kept for a retry; null: the listener's limit. */
  readonly bufferLimit: number | null;
  readonly route: Route;
  readonly virtualHost: VirtualHost;
}
