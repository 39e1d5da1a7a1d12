import type { InternalRedirectPolicy } from '../../model/route.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { Framing, type RequestHead, ResponseHead } from '../../protocol/http/message.ts';
import type { HeadNotes } from '../../protocol/http1/framing.ts';
import { ConnectionLine, reasonPhrase, responseHead } from '../../protocol/http1/serializer.ts';
import type { FilterChain } from '../filters/chain.ts';
import type { FilterStream, LocalReply } from '../filters/filter.ts';
import { Forwarder } from '../forward/forward.ts';
import { ForwardPlan, fillPlan } from '../forward/plan.ts';
import type { ResponseSink } from '../forward/response-sink.ts';
import type { CompiledRoute } from '../router/route.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { StreamInfo } from '../telemetry/stream-info.ts';
import type { ConnectionManager } from './connection-manager.ts';
import {
  endHooks,
  endRequestData,
  endResponseData,
  FIRST,
  LAST,
  RequestHeadWalk,
  requestData,
  requestTrailers,
  responseData,
  responseHeadHooks,
  responseTrailers,
} from './hooks.ts';
import type { HostWaiter } from './host-requests.ts';
import { Redirects } from './internal-redirect.ts';
import { shedsKeepAlive, shedsRequest } from './overload-state.ts';
import {
  badRequestReply,
  directReply,
  faultReply,
  noRouteReply,
  overloadedReply,
  redirectReply,
  requestTimeoutReply,
  streamTimeoutReply,
  zeroWeightsReply,
} from './replies.ts';
import { checkRequest } from './request-check.ts';
import { applyRequestPolicy } from './request-policy.ts';
import { finishResponseHead, ResponseWriter, responseFraming, takeUpstreamHead } from './response-writer.ts';
import { RouteChoice } from './route-choice.ts';
import type { StreamConnection } from './stream-connection.ts';
import { StreamTimers, type TimedStream } from './stream-timers.ts';

/**
 * One request's life on a downstream connection, from head to access log. One object a connection, reused.
 *
 * States: idle → (`onHead`) filtering → forwarding or replying → (response whole) idle. A filter may hold it
 * while filtering. `finish` runs once for every request that began, however it ends.
 */
export class HttpStream implements FilterStream, ResponseSink, TimedStream, HostWaiter {
  readonly info = new StreamInfo();
  readonly slots: unknown[] = [];
  generation = 0;
  readonly #connection: StreamConnection;
  #manager: ConnectionManager;
  /** The filters of this request: those of its upgrade where that has its own. */
  #chain: FilterChain;
  #forwarder: Forwarder;
  readonly #writer: ResponseWriter;
  readonly #plan = new ForwardPlan();
  readonly #ownResponse = new ResponseHead();
  readonly #timers: StreamTimers;
  #notes: HeadNotes | null = null;
  readonly #choice = new RouteChoice();
  readonly #walk = new RequestHeadWalk();
  /** The parser stands still for a filter. */
  #holdsParser = false;
  #active = false;
  #trusted = false;
  #requestEnded = false;
  #responseStarted = false;
  #responseEnded = false;
  #faulted = false;
  #trailers: Headers | null = null;
  #responseTrailers: Headers | null = null;
  #deferred: LocalReply | null = null;
  /** Null until an upstream redirects the request and the redirect is followed. */
  #redirects: Redirects | null = null;
  #replied = false;
  #keepAlive = true;
  #tunnel = false;

  constructor(connection: StreamConnection, manager: ConnectionManager) {
    this.#connection = connection;
    this.#manager = manager;
    this.#chain = manager.chain;
    this.#forwarder = new Forwarder(this, manager.env);
    this.#writer = new ResponseWriter(connection.output, this.info);
    this.#timers = new StreamTimers(this, manager);
  }

  get active(): boolean {
    return this.#active;
  }
  get request(): RequestHead {
    return this.info.request;
  }
  get response(): ResponseHead {
    return this.info.response;
  }
  get replied(): boolean {
    return this.#replied;
  }

  // === from the connection ===

  onHead(head: RequestHead, notes: HeadNotes, manager: ConnectionManager): void {
    this.#begin(head, notes, manager);
    if (manager.overload.requests > 0 && shedsRequest(manager)) {
      this.reply(overloadedReply());
      return;
    }
    const refusal = checkRequest(head, manager);
    if (refusal !== null) {
      this.reply(refusal);
      return;
    }
    const trusted = applyRequestPolicy(head, this.info, manager);
    if (typeof trusted === 'object') {
      manager.stats.count(manager.stats.rejectedByIpDetection);
      this.reply(trusted);
      return;
    }
    this.#trusted = trusted;
    if (this.#match()) this.#runRequestHooks();
  }

  /** Answers bytes that never became a request. */
  refuse(head: RequestHead, notes: HeadNotes, manager: ConnectionManager, reply: LocalReply): void {
    this.#begin(head, notes, manager);
    this.info.remote = this.info.connection.remote.host;
    this.#requestEnded = true;
    this.#keepAlive = false;
    this.#sendNow(reply);
  }

  onData(chunk: Buffer, start: number, end: number): void {
    this.info.bytesReceived += end - start;
    if (this.#replied) return;
    this.#timers.touch();
    const hooks = this.#chain.requestData;
    if (hooks === null) {
      this.#forwarder.data(chunk, start, end);
      return;
    }
    const data = requestData(hooks, this, this.#choice.filterConfigs, chunk.subarray(start, end));
    if (data !== null && data.length > 0) this.#forwarder.data(data, 0, data.length);
  }

  onTrailers(trailers: Headers): void {
    const { config } = this.#manager;
    if (this.#replied || !config.enableTrailers) return;
    if (config.headersWithUnderscores !== 'ALLOW') trailers.removeWhere((name) => name.includes('_'));
    const hooks = this.#chain.requestTrailers;
    if (hooks !== null) {
      requestTrailers(
        hooks,
        this,
        this.#choice.filterConfigs,
        trailers,
        FIRST,
        this.#walk.gathering ? this.#walk.gatherer : LAST,
      );
    }
    this.#trailers = trailers;
  }

  onRequestEnd(): void {
    this.#requestEnded = true;
    if (this.#replied) {
      if (this.#responseEnded) this.#finish();
      return;
    }
    if (this.#walk.gathering) {
      this.#endGathering();
      return;
    }
    this.#endRequestData(FIRST, EMPTY);
    if (!this.#replied) this.#forwarder.end(this.#trailers);
    if (this.#responseEnded && this.#active) this.#finish();
  }

  /** The turn of reads is over. */
  onTurnEnd(): void {
    const deferred = this.#deferred;
    if (deferred !== null) {
      this.#deferred = null;
      this.#send(deferred);
    }
    this.#forwarder.flush();
  }

  /** The client went away. */
  onAborted(): void {
    if (!this.#active) return;
    try {
      this.#abandon();
    } catch (error) {
      this.onFault(error);
    }
  }
  #abandon(): void {
    const { info } = this;
    if (!this.#responseEnded) {
      info.flags |= ResponseFlag.DownstreamConnectionTermination;
      if (!this.#responseStarted) info.responseCodeDetails = 'downstream_remote_disconnect';
    }
    this.#deferred = null;
    this.#forwarder.abort();
    if (this.#responseStarted && !this.#responseEnded) this.#cut();
    this.#finish();
  }

  /** The client's bytes were refused inside a request that had begun. */
  onBroken(status: number, details: string, reason: string): void {
    if (!this.#active) return;
    this.info.flags |= ResponseFlag.DownstreamProtocolError;
    this.#deferred = null;
    this.#forwarder.abort();
    if (this.#responseStarted) {
      this.info.responseCodeDetails = details;
      this.#cut();
      return;
    }
    this.#keepAlive = false;
    this.#sendNow(badRequestReply(status, details, reason));
  }

  /** The request's body did not come in time. */
  onRequestTimeout(): void {
    this.#giveUp(requestTimeoutReply('request_overall_timeout'));
  }

  onTunnel(chunk: Buffer): void {
    this.info.bytesReceived += chunk.length;
    this.#timers.touch();
    this.#forwarder.tunnel(chunk);
  }
  onTunnelFin(): void {
    this.#requestEnded = true;
    this.#forwarder.tunnelEnd();
    if (this.#responseEnded) this.#finish();
  }

  /** The client can take more. */
  onWritable(): void {
    this.#forwarder.resumeUpstream();
  }

  /**
   * Our own code threw while it worked on this stream: 500, or a cut response, and the end of the connection.
   * No filter sees anything more of it but its `onEnd`. Does not throw.
   */
  onFault(error: unknown): void {
    const { faults, stats } = this.#manager;
    faults.report(error, this.request.method, this.request.headers.get('x-request-id'));
    stats.rare('remora_faults');
    const mayAnswer = this.#active && !this.#responseStarted && !this.#faulted;
    this.#faulted = true;
    this.#keepAlive = false;
    this.#walk.held = false;
    this.#deferred = null;
    try {
      this.#forwarder.abort();
      if (mayAnswer) {
        this.#sendNow(faultReply());
        return;
      }
    } catch (second) {
      faults.report(second, this.request.method, undefined);
    }
    // Even a FIN might look like the response's end.
    this.info.responseCodeDetails = 'internal_error';
    this.#responseEnded = true;
    this.#connection.abort(true);
  }

  // === FilterStream ===

  resume(): void {
    const walk = this.#walk;
    if (!walk.held) return;
    walk.skip();
    try {
      this.#runRequestHooks();
      this.#goOn();
    } catch (error) {
      this.onFault(error);
    }
  }

  /** After a hold, unless there is another. */
  #goOn(): void {
    const walk = this.#walk;
    if (walk.held) return;
    if (walk.gathered !== null) this.#sendGathered(walk.gathered);
    // Only now: the body's first bytes must find the forwarder started.
    this.#releaseParser();
  }

  rematch(): void {
    this.#walk.rematch = true;
  }

  reply(reply: LocalReply): void {
    if (this.#replied || this.#responseStarted) return;
    this.#replied = true;
    this.#walk.held = false;
    this.#walk.gathering = false;
    this.#forwarder.abort();
    // A body that is already in the buffer is read first: then the connection can be kept.
    if (this.#holdsParser) {
      this.#deferred = reply;
      this.#releaseParser();
    } else if (this.#connection.reading && !this.#requestEnded) {
      this.#deferred = reply;
    } else {
      this.#send(reply);
    }
  }

  #releaseParser(): void {
    if (!this.#holdsParser) return;
    this.#holdsParser = false;
    this.#connection.resumeParsing();
  }

  // === ResponseSink ===

  onUpstreamInterim(head: ResponseHead, notes: HeadNotes): void {
    this.#writer.interim(head, notes);
  }

  onUpstreamHead(head: ResponseHead, notes: HeadNotes): void {
    const { info } = this;
    info.response = head;
    info.responseCode = head.status;
    info.responseCodeDetails = 'via_upstream';
    this.#tunnel = head.framing === Framing.Tunnel;
    takeUpstreamHead(head, notes, info, this.#manager.config.router.suppressEnvoyHeaders);
    this.#timers.touch();
    this.#startResponse(head);
    if (!this.#tunnel) return;
    if (this.#manager.config.accessLogFlush.onTunnel) this.#logNow(this.#manager.accessLog);
    // From here on it is the client's FIN that ends its side.
    this.#requestEnded = false;
    this.#connection.enterTunnel();
  }

  onUpstreamRedirect(head: ResponseHead, policy: InternalRedirectPolicy): boolean {
    this.#redirects ??= new Redirects();
    return this.#redirects.judge(head, policy, this.#choice, this.info, this.#manager, this.#trusted);
  }

  /** To filters, log and counts the redirected request is one of its own, as in Envoy. */
  again(body: readonly Buffer[], trailers: Headers | null): void {
    const { info } = this;
    const { request, remote } = info;
    const redirects = this.#redirects!;
    this.#conclude();
    const withBody = redirects.apply(request, body);
    this.#begin(request, this.#notes!, this.#manager);
    this.#redirects = redirects;
    info.remote = remote;
    this.#requestEnded = true;
    this.#trailers = withBody ? trailers : null;
    this.#beginRouted(redirects.route);
    if (this.#choice.take(redirects.route, info, this.#manager, this.#chain)) this.#runRequestHooks();
    else this.reply(zeroWeightsReply(info));
  }

  #replayBody(body: readonly Buffer[]): void {
    for (const chunk of body) this.onData(chunk, 0, chunk.length);
    if (this.#trailers !== null) this.onTrailers(this.#trailers);
    this.onRequestEnd();
  }

  onUpstreamData(chunk: Buffer, start: number, end: number): void {
    this.#timers.touch();
    const hooks = this.#chain.responseData;
    if (hooks === null) {
      this.#writer.body(chunk, start, end);
      return;
    }
    const data = responseData(hooks, this, this.#choice.filterConfigs, chunk.subarray(start, end));
    if (data !== null) this.#writer.body(data, 0, data.length);
  }

  onUpstreamTrailers(trailers: Headers): void {
    const hooks = this.#chain.responseTrailers;
    if (hooks !== null) responseTrailers(hooks, this, this.#choice.filterConfigs, trailers);
    this.#responseTrailers = this.#manager.config.enableTrailers ? trailers : null;
    this.info.responseTrailers = trailers;
  }

  onUpstreamEnd(): void {
    const hooks = this.#chain.responseData;
    if (hooks !== null) {
      const data = endResponseData(hooks, this, this.#choice.filterConfigs);
      this.#writer.body(data, 0, data.length);
    }
    this.#endResponse();
  }

  onUpstreamBroken(flag: number, details: string): void {
    if (!this.#active) return;
    this.info.flags |= flag;
    this.info.responseCodeDetails = details;
    this.#cut();
  }

  /** Ends a response that cannot be completed: only closing tells the client. The socket's end finishes the stream. */
  #cut(): void {
    this.#responseEnded = true;
    this.#keepAlive = false;
    this.#connection.abort(this.#writer.framing === Framing.UntilClose || this.#tunnel);
  }

  flushDownstream(): void {
    // Inside a turn of the client's reads the connection flushes at its end.
    if (!this.#connection.output.flush() && this.#active) this.#forwarder.pauseUpstream();
  }
  pauseDownstream(): void {
    this.#connection.pauseReading();
  }
  resumeDownstream(): void {
    this.#connection.resumeReading();
  }

  onTunnelData(chunk: Buffer): void {
    this.#timers.touch();
    this.#writer.body(chunk, 0, chunk.length);
    if (!this.#connection.output.flush()) this.#forwarder.pauseUpstream();
  }
  onTunnelEnd(): void {
    if (this.#responseEnded) return;
    this.#responseEnded = true;
    this.#connection.output.end();
    if (this.#requestEnded && this.#active) this.#finish();
  }

  // === request phase ===

  #begin(head: RequestHead, notes: HeadNotes, manager: ConnectionManager): void {
    const { env } = manager;
    const { info } = this;
    this.#manager = manager;
    this.#chain = manager.chain;
    this.generation++;
    // The last response was the head of an upstream's parser, which may be at another request by now.
    info.response = this.#ownResponse;
    info.reset();
    info.request = head;
    info.protocol = head.minorVersion === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
    info.start = env.clock.now();
    info.startWall = env.clock.wall();
    info.filterChain = manager.filterChain;
    this.#notes = notes;
    this.#choice.reset();
    this.#walk.reset();
    this.#holdsParser = false;
    this.#active = true;
    this.#requestEnded = false;
    this.#responseStarted = false;
    this.#responseEnded = false;
    this.#faulted = false;
    this.#redirects = null;
    this.#deferred = null;
    this.#replied = false;
    this.#trailers = null;
    this.#responseTrailers = null;
    // Behind a CONNECT that is refused there may be bytes that were meant for the tunnel.
    this.#keepAlive = head.keepAlive && head.framing !== Framing.Tunnel;
    this.#writer.framing = Framing.None;
    this.#tunnel = false;
    if (this.slots.length > 0) this.slots.length = 0;
    manager.stats.started();
    this.#timers.begin(manager);
  }

  /** Chooses the route; answers false when there is none and the reply is on its way. */
  #match(): boolean {
    const { info } = this;
    const manager = this.#manager;
    const route = this.#choice.find(info, manager, this.#trusted);
    if (manager.hosts !== null && (route === null || route.virtualHost.fallback === true) && this.#awaitsHost()) {
      return false;
    }
    // Not when a filter has the route chosen again.
    if (!this.#walk.begun) this.#beginRouted(route);
    if (route === null) {
      this.#choice.reset();
      manager.stats.noRoute();
      this.reply(noRouteReply(info, manager, manager.tableFor(info.request) !== null));
      return false;
    }
    if (this.#choice.take(route, info, manager, this.#chain)) return true;
    this.reply(zeroWeightsReply(info));
    return false;
  }

  /** Whether the request is held until its virtual host is discovered. */
  #awaitsHost(): boolean {
    const { request } = this;
    const table = this.#manager.tableFor(request);
    if (table === null || !table.lacks(request.authority)) return false;
    if (!this.#manager.hosts!.wait(table, request.authority, this)) return false;
    this.#walk.held = true;
    if (this.#requestEnded) return true;
    this.#holdsParser = true;
    this.#connection.pauseParsing();
    return true;
  }

  /** The host is there, or will not come: the request goes on by the routes that there are. */
  hostAnswered(): void {
    const walk = this.#walk;
    if (!walk.held) return;
    walk.held = false;
    try {
      if (this.#match()) this.#runRequestHooks();
      this.#goOn();
    } catch (error) {
      this.onFault(error);
    }
  }

  /** What is decided once, by the first route or by there being none. */
  #beginRouted(route: CompiledRoute | null): void {
    const { upgradeChains, startLog } = this.#manager;
    if (upgradeChains !== null) this.#chain = upgradeChains.choose(this.info.request, route) ?? this.#chain;
    if (startLog === null) return;
    this.info.route = route === null ? null : route.info;
    this.#logNow(startLog);
  }

  /** A log entry while the stream goes on: as if it ended now. */
  #logNow(log: AccessLogger | null): void {
    const { info } = this;
    info.end = this.#manager.env.clock.now();
    log?.(info);
    info.end = -1;
  }

  onLogDue(): void {
    this.#logNow(this.#manager.accessLog);
  }

  #runRequestHooks(): void {
    const walk = this.#walk;
    const hooks = this.#chain.requestHead;
    if (hooks !== null && !walk.run(hooks, this, this.#choice.filterConfigs)) {
      // Behind a request that begins again the parser is at the next one, and stands still already.
      if (!walk.held || this.#requestEnded) return;
      if (walk.gathering) {
        this.#askForBody();
        return;
      }
      this.#holdsParser = true;
      this.#connection.pauseParsing();
      return;
    }
    if (walk.rematch) {
      walk.rematch = false;
      if (!this.#match()) return;
    }
    this.#dispatch();
  }

  /** Filters are through: redirect, answer directly, or forward. */
  #dispatch(): void {
    const route = this.#choice.route!;
    const { info } = this;
    const { action } = route;
    if (action.kind !== 'forward') {
      this.reply(action.kind === 'direct' ? directReply(action) : redirectReply(action, info));
      return;
    }
    const plan = this.#plan;
    const settings = this.#manager.planSettings;
    const refusal = fillPlan(plan, route, action, this.#choice.target!, info, this.#notes!, settings, this.#trusted);
    if (refusal !== null) {
      this.reply(refusal);
      return;
    }
    this.#timers.ofRoute(plan.idleTimeoutMs, plan.maxStreamDurationMs);
    this.#forwarder.start(plan);
    // A CONNECT has no body and no end: what follows belongs to the tunnel.
    if (info.request.framing === Framing.Tunnel) {
      this.#requestEnded = true;
      this.#forwarder.end(null);
    }
    if (this.#redirects !== null) this.#replayBody(this.#redirects.takeBody());
  }

  /** A filter waits for the whole body; nobody else can ask for it, since the upstream sees nothing before it is here. */
  #askForBody(): void {
    const { request } = this;
    if (!request.expectContinue) return;
    request.headers.remove('expect');
    this.#connection.output.text(responseHead(CONTINUE, Framing.None, ConnectionLine.None));
  }

  /** The body is there: the filters behind the one that gathered it see the head, then it. */
  #endGathering(): void {
    const walk = this.#walk;
    walk.gathering = false;
    const data = endRequestData(
      this.#chain.requestData!,
      this,
      this.#choice.filterConfigs,
      EMPTY,
      FIRST,
      walk.gatherer,
    );
    if (this.#replied) return;
    const { request } = this;
    walk.gathered = data;
    if (request.framing === Framing.Chunked && this.#trailers === null && !this.#manager.planSettings.bodyMayChange) {
      request.framing = Framing.Length;
      request.contentLength = data.length;
      request.headers.set('content-length', String(data.length));
    }
    this.resume();
  }

  #sendGathered(data: Buffer): void {
    const walk = this.#walk;
    walk.gathered = null;
    if (this.#replied) return;
    const hooks = this.#chain.requestTrailers;
    if (this.#trailers !== null && hooks !== null) {
      requestTrailers(hooks, this, this.#choice.filterConfigs, this.#trailers, walk.gatherer + 1, LAST);
    }
    this.#endRequestData(walk.gatherer + 1, data);
    if (!this.#replied) this.#forwarder.end(this.#trailers);
  }

  /** Shows the filters from place `from` on the end of the body, `last` being the last of it. */
  #endRequestData(from: number, last: Buffer): void {
    const hooks = this.#chain.requestData;
    const data = hooks === null ? last : endRequestData(hooks, this, this.#choice.filterConfigs, last, from, LAST);
    if (!this.#replied && data.length > 0) this.#forwarder.data(data, 0, data.length);
  }

  // === response phase ===

  /** Runs the response hooks and writes the head. */
  #startResponse(head: ResponseHead): void {
    const manager = this.#manager;
    const { info } = this;
    const route = this.#choice.route;
    if (!this.#faulted) {
      (this.#choice.target ?? route)?.responseMutations?.apply(head.headers, info);
      const hooks = this.#chain.responseHead;
      if (hooks !== null) responseHeadHooks(hooks, this, this.#choice.filterConfigs);
    }
    finishResponseHead(head, info, manager.config, route?.virtualHost.includeAttemptCountInResponse ?? false);
    if (manager.proxyStatus !== null) manager.proxyStatus.apply(head, info);
    // What a local reply says is not shown to the body hooks.
    const changing = this.#chain.responseData !== null && !this.#replied;
    const framing = responseFraming(head, info.request, changing);
    if (!this.#requestEnded || framing === Framing.UntilClose || this.#connection.draining) this.#keepAlive = false;
    if (manager.overload.keepAlive > 0 && this.#keepAlive) this.#keepAlive = !shedsKeepAlive(manager);
    this.#responseStarted = true;
    info.responseStart = manager.env.clock.now();
    this.#writer.head(head, framing, this.#tunnel || this.#keepAlive);
  }

  #endResponse(): void {
    this.#writer.end(this.#responseTrailers);
    this.#responseEnded = true;
    if (this.#requestEnded || !this.#keepAlive) this.#finish();
  }

  #send(reply: LocalReply): void {
    // The rest of the request would have to be read to its end before the next one could begin.
    if (!this.#requestEnded) this.#keepAlive = false;
    this.#sendNow(reply);
  }

  #sendNow(reply: LocalReply): void {
    this.#replied = true;
    const { info } = this;
    info.response = this.#ownResponse;
    const body = this.#manager.localReplies.render(reply, info, this.#ownResponse);
    this.#startResponse(this.#ownResponse);
    this.#writer.body(body, 0, body.length);
    this.#endResponse();
  }

  // === timeouts ===

  onTimeout(flag: number, details: string, ms: number): void {
    if (!this.#active) return;
    this.info.flags |= flag;
    this.#giveUp(streamTimeoutReply(details, ms, this.#requestEnded));
  }

  /** Outside of any turn: answers, or cuts a response that has begun. */
  #giveUp(reply: LocalReply): void {
    this.#forwarder.abort();
    if (this.#responseStarted) {
      this.info.responseCodeDetails = reply.details;
      this.#cut();
      return;
    }
    this.reply(reply);
    if (this.#connection.reading) return;
    this.#forwarder.flush();
    this.flushDownstream();
  }

  // === end ===

  #finish(): void {
    if (!this.#active) return;
    this.#conclude();
    this.#connection.streamEnded(this.#keepAlive && this.#requestEnded && !this.#tunnel);
  }

  #conclude(): void {
    this.#active = false;
    const manager = this.#manager;
    const { info } = this;
    this.#timers.stop();
    info.end = manager.env.clock.now();
    if (this.#chain.end !== null) endHooks(this.#chain.end, this, this.#choice.filterConfigs, manager.faults);
    manager.stats.ended(info.responseCode, info.end - info.start);
    manager.env.record(info);
    if (manager.accessLog !== null) manager.accessLog(info);
  }

  /** Frees what the process-wide wheel holds; the connection is gone. */
  close(): void {
    this.#timers.release();
    this.#forwarder.close();
  }
}

const EMPTY = Buffer.alloc(0);

const CONTINUE = new ResponseHead();
CONTINUE.status = 100;
CONTINUE.reason = reasonPhrase(100);
