import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { Framing, type RequestHead, type ResponseHead } from '../../protocol/http/message.ts';
import type { HeadNotes } from '../../protocol/http1/framing.ts';
import type { LocalReply } from '../filters/filter.ts';
import { rewriteHost } from '../router/rewrite.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { Resource, RetryResource } from '../upstream/circuit-breaker.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import type { PickContext } from '../upstream/lb/balancer.ts';
import { Attempt, type AttemptOwner } from './attempt.ts';
import { BodyBuffer } from './body-buffer.ts';
import { ForwardTimers, type TimedForwarder } from './forward-timers.ts';
import { ForwardPlan, laterTimeoutLine } from './plan.ts';
import {
  noClusterReply,
  noHealthyReply,
  overflowReply,
  resetReply,
  responseTimeoutReply,
  timeoutReply,
  type UpstreamFailure,
} from './replies.ts';
import type { ResponseSink } from './response-sink.ts';
import {
  type AttemptFailure,
  backOffMs,
  isIdempotent,
  rateLimitedBackOffMs,
  retryOnFailure,
  retryOnResponse,
} from './retry.ts';

/** What forwarding needs of the process. */
export interface ForwardEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  cluster(name: string): UpstreamCluster | undefined;
}

const NO_PLAN = new ForwardPlan();

/** Body bytes kept for the keep-alive race alone, when no retry policy asks for more. */
const RACE_REPLAY_LIMIT = 64 * 1024;

/**
 * The terminal of the filter chain: sends the request upstream, watches its timeouts, and decides after each
 * attempt whether there is another. One a stream, reused.
 *
 * States: idle → (`start`) trying → committed (a response head went downstream) → idle. While trying, an
 * attempt is active, or waits for a connection, or a back-off timer runs.
 */
export class Forwarder implements AttemptOwner, PickContext, TimedForwarder {
  readonly #sink: ResponseSink;
  readonly #env: ForwardEnvironment;
  readonly #attempt: Attempt;
  readonly #body = new BodyBuffer();
  readonly #timers: ForwardTimers;
  #plan = NO_PLAN;
  /** The cluster of the present try. */
  #cluster: UpstreamCluster | null = null;
  #active = false;
  #committed = false;
  #tunnel = false;
  #requestEnded = false;
  #bodyGone = false;
  #keepsBody = false;
  #trailers: Headers | null = null;
  #retries = 0;
  /** The last try was ended by a timeout of its own. */
  #afterTimeout = false;
  #raceRetried = false;
  /** Units of the circuit breakers it holds: given back to whom they were taken from. */
  #requestUnit: Resource | null = null;
  #retryUnit: RetryResource | null = null;
  #downstreamPaused = false;
  #tried: UpstreamEndpoint[] | null = null;

  constructor(sink: ResponseSink, env: ForwardEnvironment) {
    this.#sink = sink;
    this.#env = env;
    this.#attempt = new Attempt(this, env);
    this.#timers = new ForwardTimers(this, env.wheel);
  }

  get request(): RequestHead {
    return this.#sink.request;
  }

  // === PickContext ===

  readonly hash: number | null = null;
  get avoid(): readonly UpstreamEndpoint[] | null {
    return this.#plan.retry?.policy.avoidPreviousHosts ? this.#tried : null;
  }
  get originalDestination(): { host: string; port: number } {
    return this.#sink.info.connection.local;
  }

  // === from the stream ===

  /** Starts forwarding the sink's request. Its body follows by {@link data} and {@link end}. */
  start(plan: ForwardPlan): void {
    this.#plan = plan;
    this.#active = true;
    this.#committed = false;
    this.#tunnel = false;
    this.#requestEnded = false;
    this.#bodyGone = false;
    this.#trailers = null;
    this.#retries = 0;
    this.#raceRetried = false;
    this.#downstreamPaused = false;
    this.#tried = null;
    const cluster = this.#env.cluster(plan.cluster);
    if (cluster === undefined) {
      this.#finishWith(noClusterReply(plan.cluster, plan.clusterNotFoundStatus, this.#sink.info));
      return;
    }
    this.#cluster = cluster;
    this.#sink.info.cluster = cluster;
    const dropped = cluster.shouldDrop(this.#env.random);
    if (dropped !== null) {
      this.#finishWith(overflowReply(cluster.name, `drop_overload ${dropped}`));
      return;
    }
    const { requests } = cluster.breakers[plan.priority];
    if (!requests.acquire()) {
      cluster.stats.requestOverflow();
      this.#finishWith(overflowReply(cluster.name, `max_requests ${requests.limit} reached`));
      return;
    }
    this.#requestUnit = requests;
    const hasBody = plan.framing === Framing.Length || plan.framing === Framing.Chunked;
    this.#keepsBody = hasBody && plan.keepsBody(this.request);
    this.#body.reset(this.#keepsBody || (hasBody && isIdempotent(this.request.method)));
    this.#nextAttempt();
  }

  data(chunk: Buffer, start: number, end: number): void {
    if (!this.#active) return;
    const { ready } = this.#attempt;
    const body = this.#body;
    if (body.replayable || !ready) {
      body.push(chunk, start, end);
      this.#limitBody(ready);
    }
    if (ready) this.#attempt.write(chunk, start, end);
  }

  end(trailers: Headers | null): void {
    if (!this.#active) return;
    this.#requestEnded = true;
    this.#trailers = trailers;
    this.#sink.info.requestEnd = this.#env.clock.now();
    if (this.#attempt.ready) this.#attempt.end(trailers);
    if (this.#active) this.#armTimeouts();
  }

  /** The end of one turn of the downstream's reads. */
  flush(): void {
    if (this.#active && !this.#attempt.flush()) this.#pauseDownstream();
  }

  /** The stream is over for other reasons (client gone, a local reply): nothing more is wanted from upstream. */
  abort(): void {
    if (!this.#active) return;
    this.#attempt.abort();
    this.#settle();
  }

  /** The stream's connection is gone for good. */
  close(): void {
    this.abort();
    this.#timers.release();
  }

  pauseUpstream(): void {
    this.#attempt.connection?.pause();
  }
  resumeUpstream(): void {
    this.#attempt.connection?.resume();
  }

  /** Raw bytes from downstream, after an upgrade was accepted. */
  tunnel(chunk: Buffer): void {
    if (!this.#active) return;
    this.#attempt.connection?.output.body(chunk, 0, chunk.length);
    this.flush();
  }
  /** Downstream sent FIN: pass it on, the other direction stays open. */
  tunnelEnd(): void {
    if (this.#active) this.#attempt.connection?.output.end();
  }

  // === AttemptOwner ===

  attemptReady(attempt: Attempt): void {
    const { info } = this.#sink;
    const now = this.#env.clock.now();
    if (info.upstreamFirstByteSent < 0) info.upstreamFirstByteSent = now;
    info.upstreamConnection = attempt.connection;
    info.upstreamTls = attempt.connection!.tls;
    const body = this.#body;
    for (const chunk of body.chunks) attempt.write(chunk, 0, chunk.length);
    if (!body.replayable) this.#forgetBody();
    if (this.#requestEnded) {
      this.#timers.touchTry(this.#plan);
      attempt.end(this.#trailers);
      return;
    }
    if (!attempt.flush()) this.#pauseDownstream();
    else this.#resumeDownstream();
  }

  attemptInterim(head: ResponseHead, notes: HeadNotes): void {
    this.#timers.touchTry(this.#plan);
    this.#sink.onUpstreamInterim(head, notes);
  }

  attemptHead(attempt: Attempt, head: ResponseHead, notes: HeadNotes): void {
    const now = this.#env.clock.now();
    const { info } = this.#sink;
    info.upstreamFirstByteReceived = now;
    const cluster = this.#latestCluster();
    cluster.recordResponse(attempt.endpoint!, head.status);
    if (this.#retryResponse(attempt, head)) {
      cluster.stats.countRetriedStatus(head.status);
      return;
    }
    cluster.stats.countStatus(head.status);
    if (this.#plan.redirects?.statuses.includes(head.status) && this.#redirect(attempt, head)) return;
    this.#commit();
    if (head.framing === Framing.Tunnel) {
      this.#tunnel = true;
      this.#timers.stopRoute();
    }
    this.#timers.touchTry(this.#plan);
    this.#sink.onUpstreamHead(head, notes);
  }

  attemptData(chunk: Buffer, start: number, end: number): void {
    if (!this.#committed) return;
    this.#timers.touchTry(this.#plan);
    this.#sink.onUpstreamData(chunk, start, end);
  }
  attemptTrailers(trailers: Headers): void {
    if (this.#committed) this.#sink.onUpstreamTrailers(trailers);
  }
  attemptEnd(_attempt: Attempt): void {
    if (!this.#committed) return;
    const { info } = this.#sink;
    info.upstreamLastByteReceived = this.#env.clock.now();
    // As in Envoy, from the end of the request to the end of its response.
    if (info.requestEnd >= 0) this.#cluster!.stats.responseTime(info.upstreamLastByteReceived - info.requestEnd);
    this.#settle();
    this.#sink.onUpstreamEnd();
  }
  attemptFlush(): void {
    this.#sink.flushDownstream();
  }
  attemptWritable(): void {
    this.#resumeDownstream();
  }
  attemptTunnelData(chunk: Buffer): void {
    this.#timers.touchTry(this.#plan);
    this.#sink.onTunnelData(chunk);
  }
  attemptTunnelEnd(): void {
    this.#sink.onTunnelEnd();
  }

  attemptFault(error: unknown): void {
    this.#sink.onFault(error);
  }

  attemptFailed(attempt: Attempt, failure: UpstreamFailure, detail: string): void {
    this.#timers.endTry();
    const { info } = this.#sink;
    info.upstreamFailureReason = detail;
    const cluster = this.#cluster!;
    if (this.#committed) {
      this.#settle();
      const flag =
        failure === 'protocol-error' ? ResponseFlag.UpstreamProtocolError : ResponseFlag.UpstreamConnectionTermination;
      this.#sink.onUpstreamBroken(flag, `upstream_reset_after_response_started{${failure.replaceAll('-', '_')}}`);
      return;
    }
    if (failure === 'drained') {
      this.#elsewhere(attempt.endpoint!);
      return;
    }
    if (failure === 'overflow') {
      this.#finishWith(overflowReply(cluster.name, detail));
      return;
    }
    if (this.#retryRace(attempt, failure)) return;
    this.#latestCluster().recordFailure(attempt.endpoint!, failure);
    if (this.#retryFailure(failure, attempt)) return;
    cluster.stats.countStatus(failure === 'protocol-error' ? 502 : 503);
    this.#finishWith(resetReply(failure, detail, attempt, cluster.name, this.request, this.#plan));
  }

  // === attempts ===

  #nextAttempt(): void {
    const cluster = this.#latestCluster();
    const { info } = this.#sink;
    const endpoint = cluster.pickAvoiding(this, this.#plan.retry?.policy.hostSelectionMaxAttempts ?? 1);
    if (endpoint === null) {
      cluster.stats.noneHealthy();
      this.#finishWith(noHealthyReply(cluster));
      return;
    }
    info.attempts++;
    this.#attemptAt(cluster, endpoint);
  }

  #attemptAt(cluster: UpstreamCluster, endpoint: UpstreamEndpoint): void {
    const plan = this.#plan;
    const { info } = this.#sink;
    this.#cluster = cluster;
    info.cluster = cluster;
    info.upstream = endpoint;
    info.upstreamFailureReason = '';
    const attempt = this.#attempt;
    attempt.framing = plan.framing;
    attempt.upgrade = plan.upgrade;
    attempt.priority = plan.priority;
    attempt.extraLines = plan.includeAttemptCount ? `x-envoy-attempt-count: ${info.attempts}\r\n` : '';
    if (info.attempts > 1) attempt.extraLines += laterTimeoutLine(plan, this.#timers.routeLeftMs(plan));
    else if (plan.expectedTimeoutLine !== '') attempt.extraLines += plan.expectedTimeoutLine;
    if (plan.includeTimeoutRetry && this.#retries > 0)
      attempt.extraLines += `x-envoy-is-timeout-retry: ${this.#afterTimeout}\r\n`;
    this.#afterTimeout = false;
    if (plan.autoHostRewrite && endpoint.hostname !== '') {
      rewriteHost(this.request, endpoint.hostname, plan.originalHost);
    }
    attempt.start(cluster, endpoint);
    attempt.fresh = false;
    if (this.#active && this.#requestEnded) this.#timers.startTry(plan);
  }

  /** The cluster under its newest config: between two tries it may have been replaced, and its endpoints taken over. */
  #latestCluster(): UpstreamCluster {
    return this.#env.cluster(this.#plan.cluster) ?? this.#cluster!;
  }

  /** The endpoint left the cluster before anything was sent to it: another takes the request, or, if there is none, still this one. */
  #elsewhere(endpoint: UpstreamEndpoint): void {
    const cluster = this.#latestCluster();
    const other = cluster.pick(this);
    this.#attemptAt(cluster, other ?? endpoint);
  }

  /** A kept-alive connection that closed before any byte of the answer: the request very likely never arrived. */
  #retryRace(attempt: Attempt, failure: UpstreamFailure): boolean {
    if (failure !== 'connection-termination' || !attempt.reused || this.#raceRetried) return false;
    if (attempt.responseStarted || !isIdempotent(this.request.method) || !this.#replayable()) return false;
    this.#raceRetried = true;
    this.#cluster!.stats.raceRetried();
    // The peer may have closed all that we kept: the next one is new.
    attempt.fresh = true;
    this.#nextAttempt();
    return true;
  }

  #retryFailure(failure: AttemptFailure, attempt: Attempt): boolean {
    const plan = this.#plan;
    const { retry } = plan;
    if (retry === null || !retryOnFailure(plan.retryOn, failure, attempt.sent)) return false;
    return this.#retry(attempt, -1, failure === 'connection-failure' || failure === 'connection-timeout');
  }

  #retryResponse(attempt: Attempt, head: ResponseHead): boolean {
    const plan = this.#plan;
    const { retry } = plan;
    if (retry === null) return false;
    if (!retryOnResponse(plan.retryOn, plan.retriableStatusCodes, plan.retriableHeaders, head)) {
      if (this.#retries > 0) this.#cluster!.stats.retrySucceeded();
      return false;
    }
    return this.#retry(attempt, rateLimitedBackOffMs(retry.policy, head, this.#env.clock.wall()), false);
  }

  /**
   * Starts another try after its back-off, if number, budget and the kept body allow it. Going elsewhere
   * because nobody could be reached adds no load to any server, so a retry budget does not limit it (as
   * gRPC's transparent retries); a fixed `max_retries` does, as in Envoy.
   */
  #retry(attempt: Attempt, askedBackOffMs: number, unreached: boolean): boolean {
    const plan = this.#plan;
    const cluster = this.#cluster!;
    const { info } = this.#sink;
    if (this.#retries >= plan.maxRetries) {
      if (plan.maxRetries > 0) {
        info.flags |= ResponseFlag.UpstreamRetryLimitExceeded;
        cluster.stats.retryLimitExceeded();
      }
      return false;
    }
    if (!this.#replayable()) {
      cluster.stats.retryAbandoned();
      info.upstreamFailureReason = 'not retried: the request body was larger than the retry buffer';
      return false;
    }
    const { retries } = cluster.breakers[plan.priority];
    if (this.#retryUnit === null && !(unreached && retries.budgeted)) {
      if (!retries.acquire()) {
        info.flags |= ResponseFlag.UpstreamOverflow;
        cluster.stats.retryOverflow();
        return false;
      }
      this.#retryUnit = retries;
    }
    this.#retries++;
    cluster.stats.retried();
    this.#tried ??= [];
    this.#tried.push(attempt.endpoint!);
    attempt.abort();
    this.#timers.endTry();
    const { policy } = plan.retry!;
    const wait =
      askedBackOffMs >= 0
        ? askedBackOffMs
        : backOffMs(policy.baseIntervalMs, policy.maxIntervalMs, this.#retries, this.#env.random);
    if (wait <= 0) this.#nextAttempt();
    else this.#timers.startBackOff(wait);
    return true;
  }

  #replayable(): boolean {
    const { framing } = this.#plan;
    return (framing !== Framing.Length && framing !== Framing.Chunked) || this.#body.replayable || !this.#bodyGone;
  }

  #limitBody(ready: boolean): void {
    const body = this.#body;
    const plan = this.#plan;
    const limit = this.#keepsBody ? plan.bufferLimitBytes : Math.min(RACE_REPLAY_LIMIT, plan.bufferLimitBytes);
    if (body.bytes <= limit) return;
    if (ready) {
      if (this.#keepsBody) this.#cluster!.stats.replayBufferOverflow();
      this.#forgetBody();
    } else {
      // Nothing was sent yet, so nothing may be dropped: the client waits until a connection is there.
      this.#pauseDownstream();
    }
  }

  /** What was sent cannot be sent again from here on. */
  #forgetBody(): void {
    this.#bodyGone = true;
    this.#body.release();
  }

  /** Follows an upstream's redirect, if the request is here whole and the policy allows it; else the client gets it. */
  #redirect(attempt: Attempt, head: ResponseHead): boolean {
    const cluster = this.#cluster!;
    const whole = this.#requestEnded && this.#replayable();
    if (!whole || !this.#sink.onUpstreamRedirect(head, this.#plan.redirects!)) {
      cluster.stats.count('upstream_internal_redirect_failed_total');
      return false;
    }
    cluster.stats.count('upstream_internal_redirect_succeeded_total');
    if (this.#retries > 0) cluster.stats.retrySucceeded();
    const body = this.#body.take();
    const trailers = this.#trailers;
    attempt.abort();
    this.#settle();
    this.#sink.again(body, trailers);
    return true;
  }

  // === timeouts ===

  #armTimeouts(): void {
    const plan = this.#plan;
    if (this.#tunnel) return;
    this.#timers.startRoute(plan);
    if (!this.#committed) this.#timers.startTry(plan);
    if (this.#attempt.ready) this.#timers.touchTry(plan);
  }

  onBackOff(): void {
    this.#nextAttempt();
  }

  onRouteTimeout(): void {
    if (!this.#active) return;
    const cluster = this.#cluster!;
    const attempt = this.#attempt;
    cluster.stats.timedOut(false);
    if (attempt.active) {
      this.#latestCluster().recordTimeout(attempt.endpoint!);
      if (!this.#committed) cluster.stats.countStatus(504);
    }
    this.#sink.info.flags |= ResponseFlag.UpstreamRequestTimeout;
    if (this.#committed) {
      this.#breakOff('response_timeout');
      return;
    }
    this.#finishWith(responseTimeoutReply(this.#plan, attempt, cluster.name));
  }

  onTryTimeout(): void {
    if (this.#committed) return;
    this.#cluster?.stats.timedOut(true);
    this.#onTryEnded('upstream_per_try_timeout', this.#plan.perTryTimeoutMs);
  }

  onTryIdle(): void {
    this.#cluster?.stats.count('upstream_rq_per_try_idle_timeout');
    this.#onTryEnded('upstream_per_try_idle_timeout', this.#plan.perTryIdleMs);
  }

  #onTryEnded(details: 'upstream_per_try_timeout' | 'upstream_per_try_idle_timeout', ms: number): void {
    if (!this.#active) return;
    const attempt = this.#attempt;
    if (!attempt.active) return;
    this.#latestCluster().recordTimeout(attempt.endpoint!);
    if (this.#committed) {
      this.#breakOff(details);
      return;
    }
    this.#afterTimeout = true;
    if (this.#retryFailure('per-try-timeout', attempt)) return;
    this.#cluster!.stats.countStatus(504);
    this.#sink.info.flags |= ResponseFlag.UpstreamRequestTimeout;
    this.#finishWith(timeoutReply(details, ms, attempt, this.#cluster!.name));
  }

  /** Time ran out after the response's head had gone downstream. */
  #breakOff(details: string): void {
    this.#attempt.abort();
    this.#settle();
    this.#sink.onUpstreamBroken(ResponseFlag.UpstreamRequestTimeout, details);
  }

  // === endings ===

  /** A response goes downstream now: no other attempt may follow. */
  #commit(): void {
    this.#committed = true;
    this.#body.release();
    this.#timers.stopTry();
  }

  #finishWith(reply: LocalReply): void {
    this.#attempt.abort();
    this.#settle();
    this.#sink.reply(reply);
    this.#sink.flushDownstream();
  }

  #settle(): void {
    if (!this.#active) return;
    this.#active = false;
    this.#timers.stop();
    this.#requestUnit?.release();
    this.#requestUnit = null;
    this.#retryUnit?.release();
    this.#retryUnit = null;
    this.#body.release();
    this.#resumeDownstream();
    this.#cluster = null;
  }

  #pauseDownstream(): void {
    if (this.#downstreamPaused) return;
    this.#downstreamPaused = true;
    this.#sink.pauseDownstream();
  }
  #resumeDownstream(): void {
    if (!this.#downstreamPaused) return;
    this.#downstreamPaused = false;
    this.#sink.resumeDownstream();
  }
}
