import { WheelTimer } from '../../base/timer-wheel.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { Framing, type RequestHead, ResponseHead } from '../../protocol/http/message.ts';
import { type HeadNotes, stripContentLength, stripHopByHop } from '../../protocol/http1/framing.ts';
import {
  CHUNK_END,
  ConnectionLine,
  chunkHeader,
  lastChunk,
  reasonPhrase,
  responseHead,
} from '../../protocol/http1/serializer.ts';
import { FilterResult, type FilterStream, type LocalReply } from '../filters/filter.ts';
import { Forwarder, type ResponseSink } from '../forward/forward.ts';
import { ForwardPlan, fillPlan } from '../forward/plan.ts';
import { formatHttpDate } from '../io/date.ts';
import type { Output } from '../io/output.ts';
import type { CompiledRoute } from '../router/route.ts';
import type { ClusterTarget } from '../router/weighted.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { StreamInfo } from '../telemetry/stream-info.ts';
import type { ConnectionManager } from './connection-manager.ts';
import {
  badRequestReply,
  directReply,
  noRouteReply,
  redirectReply,
  requestTimeoutReply,
  streamTimeoutReply,
  zeroWeightsReply,
} from './replies.ts';
import { checkRequest } from './request-check.ts';
import { applyRequestPolicy } from './request-policy.ts';
import { type RouteFilterConfigs, routeFilterConfigs } from './route-filter-configs.ts';

/** What a stream needs of the connection it came on. */
export interface StreamConnection {
  readonly output: Output;
  /** A turn of reads from the client is going on: what is written will be flushed at its end. */
  readonly reading: boolean;
  pauseReading(): void;
  resumeReading(): void;
  /** No bytes of the request are delivered until `resumeParsing`. */
  pauseParsing(): void;
  resumeParsing(): void;
  /** The stream is over; `reuse` false: the connection ends once what was written is sent. */
  streamEnded(reuse: boolean): void;
  /** Cut the connection: the response cannot be completed. `reset`: even a FIN would look like its end. */
  abort(reset: boolean): void;
  /** From now on everything read goes to `onTunnel`. */
  enterTunnel(): void;
  readonly draining: boolean;
}

/**
 * One request's life on a downstream connection, from head to access log. One object a connection, reused.
 *
 * States: idle → (`onHead`) filtering → forwarding or replying → (response whole) idle. A filter may hold it
 * while filtering. `finish` runs once for every request that began, however it ends.
 */
export class HttpStream implements FilterStream, ResponseSink {
  readonly info = new StreamInfo();
  readonly slots: unknown[] = [];
  generation = 0;
  readonly #connection: StreamConnection;
  #manager: ConnectionManager;
  #forwarder: Forwarder;
  readonly #plan = new ForwardPlan();
  readonly #ownResponse = new ResponseHead();
  readonly #idleTimer: WheelTimer;
  readonly #durationTimer: WheelTimer;
  #notes: HeadNotes | null = null;
  #route: CompiledRoute | null = null;
  /** The cluster chosen among the route's, with what depends on it; null for redirects and direct answers. */
  #target: ClusterTarget | null = null;
  #filterConfigs: RouteFilterConfigs = null;
  /** Place in the list of request-head hooks, for going on after a filter held the stream. */
  #hook = 0;
  #held = false;
  /** The parser stands still for a filter. */
  #holdsParser = false;
  #active = false;
  #trusted = false;
  #requestEnded = false;
  #responseStarted = false;
  #responseEnded = false;
  #rematch = false;
  #deferred: LocalReply | null = null;
  #replied = false;
  /** How the response's body goes out. */
  #framing: Framing = Framing.None;
  #keepAlive = true;
  #tunnel = false;
  #idleMs = 0;

  constructor(connection: StreamConnection, manager: ConnectionManager) {
    this.#connection = connection;
    this.#manager = manager;
    this.#forwarder = new Forwarder(this, manager.env);
    this.#idleTimer = new WheelTimer(() => this.#onIdle());
    this.#durationTimer = new WheelTimer(() => this.#onMaxDuration());
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
  get route(): CompiledRoute | null {
    return this.#route;
  }

  // === from the connection ===

  onHead(head: RequestHead, notes: HeadNotes, manager: ConnectionManager): void {
    this.#begin(head, notes, manager);
    const refusal = checkRequest(head, manager);
    if (refusal !== null) {
      this.reply(refusal);
      return;
    }
    this.#trusted = applyRequestPolicy(head, this.info, manager);
    if (!this.#match()) return;
    if (manager.chain.requestHead === null) this.#dispatch();
    else this.#runRequestHooks();
  }

  /** Answers bytes that never became a request. */
  refuse(head: RequestHead, notes: HeadNotes, manager: ConnectionManager, reply: LocalReply): void {
    this.#begin(head, notes, manager);
    this.info.remote = this.info.connection.directRemote.host;
    this.#requestEnded = true;
    this.#keepAlive = false;
    this.#sendNow(reply);
  }

  onData(chunk: Buffer, start: number, end: number): void {
    this.info.bytesReceived += end - start;
    if (this.#replied) return;
    this.#touch();
    const hooks = this.#manager.chain.requestData;
    if (hooks === null) {
      this.#forwarder.data(chunk, start, end);
      return;
    }
    let data: Buffer | null = chunk.subarray(start, end);
    for (const hook of hooks) {
      if (this.#off(hook.index)) continue;
      data = hook.filter.onRequestData!(this, data, false, this.#config(hook.index));
      if (data === null || this.#replied) return;
    }
    if (data.length > 0) this.#forwarder.data(data, 0, data.length);
  }

  onTrailers(trailers: Headers): void {
    if (this.#replied) return;
    const hooks = this.#manager.chain.requestTrailers;
    if (hooks !== null) {
      for (const hook of hooks) {
        if (!this.#off(hook.index)) hook.filter.onRequestTrailers!(this, trailers, this.#config(hook.index));
      }
    }
    this.#trailers = trailers;
  }
  #trailers: Headers | null = null;

  onRequestEnd(): void {
    this.#requestEnded = true;
    if (this.#replied) {
      if (this.#responseEnded) this.#finish();
      return;
    }
    const hooks = this.#manager.chain.requestData;
    if (hooks !== null) this.#endRequestData();
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
    this.#forwarder.abort();
    if (this.#responseStarted) {
      this.info.responseCodeDetails = 'request_overall_timeout';
      this.#cut();
      return;
    }
    this.reply(requestTimeoutReply('request_overall_timeout'));
    this.#flushAll();
  }

  onTunnel(chunk: Buffer): void {
    this.info.bytesReceived += chunk.length;
    this.#touch();
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

  // === FilterStream ===

  resume(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#hook++;
    this.#runRequestHooks();
    // Only now: the body's first bytes must find the forwarder started.
    if (!this.#held) this.#releaseParser();
  }

  rematch(): void {
    this.#rematch = true;
  }

  reply(reply: LocalReply): void {
    if (this.#replied || this.#responseStarted) return;
    this.#replied = true;
    this.#held = false;
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
    if (this.request.minorVersion === 0) return;
    stripHopByHop(head.headers, notes, false);
    stripContentLength(head.headers, notes);
    if (head.reason === '') head.reason = reasonPhrase(head.status);
    this.#connection.output.text(responseHead(head, Framing.None, ConnectionLine.None));
  }

  onUpstreamHead(head: ResponseHead, notes: HeadNotes): void {
    const { info } = this;
    info.response = head;
    info.responseCode = head.status;
    info.responseCodeDetails = 'via_upstream';
    this.#tunnel = head.framing === Framing.Tunnel;
    stripHopByHop(head.headers, notes, this.#tunnel && head.status === 101);
    if (head.status === 204 || (this.#tunnel && head.status < 300)) stripContentLength(head.headers, notes);
    if (!this.#manager.config.router.suppressEnvoyHeaders) {
      const serviceTime = info.upstreamFirstByteReceived - info.upstreamFirstByteSent;
      head.headers.set('x-envoy-upstream-service-time', String(Math.round(serviceTime)));
    }
    this.#touch();
    this.#startResponse(head);
    if (!this.#tunnel) return;
    // From here on it is the client's FIN that ends its side.
    this.#requestEnded = false;
    this.#connection.enterTunnel();
  }

  onUpstreamData(chunk: Buffer, start: number, end: number): void {
    this.#touch();
    const hooks = this.#manager.chain.responseData;
    if (hooks === null) {
      this.#writeBody(chunk, start, end);
      return;
    }
    let data: Buffer | null = chunk.subarray(start, end);
    for (const hook of hooks) {
      if (this.#off(hook.index)) continue;
      data = hook.filter.onResponseData!(this, data, false, this.#config(hook.index));
      if (data === null) return;
    }
    if (data.length > 0) this.#writeBody(data, 0, data.length);
  }

  onUpstreamTrailers(trailers: Headers): void {
    const hooks = this.#manager.chain.responseTrailers;
    if (hooks !== null) {
      for (const hook of hooks) {
        if (!this.#off(hook.index)) hook.filter.onResponseTrailers!(this, trailers, this.#config(hook.index));
      }
    }
    this.#responseTrailers = trailers;
  }
  #responseTrailers: Headers | null = null;

  onUpstreamEnd(): void {
    if (this.#manager.chain.responseData !== null) this.#endResponseData();
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
    this.#connection.abort(this.#framing === Framing.UntilClose || this.#tunnel);
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
    this.info.bytesSent += chunk.length;
    this.#touch();
    const { output } = this.#connection;
    output.body(chunk, 0, chunk.length);
    if (!output.flush()) this.#forwarder.pauseUpstream();
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
    this.generation++;
    // Until now it was the last upstream connection's head, which may serve another stream's response by now.
    info.response = this.#ownResponse;
    info.reset();
    info.request = head;
    info.protocol = head.minorVersion === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
    info.start = env.clock.now();
    info.startWall = env.clock.wall();
    this.#notes = notes;
    this.#route = null;
    this.#target = null;
    this.#filterConfigs = null;
    this.#hook = 0;
    this.#held = false;
    this.#holdsParser = false;
    this.#active = true;
    this.#requestEnded = false;
    this.#responseStarted = false;
    this.#responseEnded = false;
    this.#rematch = false;
    this.#deferred = null;
    this.#replied = false;
    this.#trailers = null;
    this.#responseTrailers = null;
    // Behind a CONNECT that is refused there may be bytes that were meant for the tunnel.
    this.#keepAlive = head.keepAlive && head.framing !== Framing.Tunnel;
    this.#framing = Framing.None;
    this.#tunnel = false;
    if (this.slots.length > 0) this.slots.length = 0;
    manager.stats.started();
    this.#idleMs = manager.config.streamIdleTimeoutMs;
    if (this.#idleMs > 0) env.wheel.arm(this.#idleTimer, this.#idleMs);
    if (manager.config.maxStreamDurationMs > 0) env.wheel.arm(this.#durationTimer, manager.config.maxStreamDurationMs);
  }

  /** Chooses the route; answers false when there is none and the reply is on its way. */
  #match(): boolean {
    const { info } = this;
    const { table } = this.#manager.routes;
    this.#matchContext.scheme = info.request.scheme;
    this.#matchContext.internal = this.#trusted;
    const route = table === null ? null : table.match(info.request, this.#matchContext);
    this.#route = route;
    if (route === null) {
      this.#manager.stats.noRoute();
      this.reply(noRouteReply(info, this.#manager, table !== null));
      return false;
    }
    info.route = route.info;
    // Chosen before the filters run: a weighted cluster has per-filter config of its own.
    if (route.action.kind === 'forward') {
      this.#target = route.action.targets.pick(info.request, this.#manager.env.random);
      if (this.#target === null) {
        this.reply(zeroWeightsReply(info));
        return false;
      }
    }
    this.#filterConfigs = routeFilterConfigs(this.#target ?? route, this.#manager.chain);
    return true;
  }
  readonly #matchContext = { scheme: 'http', internal: false, tls: false, peerPresented: false, peerValidated: false };

  #runRequestHooks(): void {
    const hooks = this.#manager.chain.requestHead!;
    for (; this.#hook < hooks.length; this.#hook++) {
      const hook = hooks[this.#hook]!;
      if (this.#off(hook.index)) continue;
      const result = hook.filter.onRequestHead!(this, this.#config(hook.index));
      if (result === FilterResult.Next) continue;
      if (result === FilterResult.Wait && !this.#replied) {
        this.#held = true;
        this.#holdsParser = true;
        this.#connection.pauseParsing();
      }
      return;
    }
    if (this.#rematch) {
      this.#rematch = false;
      if (!this.#match()) return;
    }
    this.#dispatch();
  }

  /** Filters are through: redirect, answer directly, or forward. */
  #dispatch(): void {
    const route = this.#route!;
    const { info } = this;
    const { action } = route;
    if (action.kind !== 'forward') {
      this.reply(action.kind === 'direct' ? directReply(action) : redirectReply(action, info));
      return;
    }
    const plan = this.#plan;
    const settings = this.#manager.planSettings;
    const refusal = fillPlan(plan, route, action, this.#target!, info, this.#notes!, settings, this.#trusted);
    if (refusal !== null) {
      this.reply(refusal);
      return;
    }
    const idle = action.config.idleTimeoutMs;
    if (idle !== null && idle !== this.#idleMs) {
      this.#idleMs = idle;
      if (idle > 0) this.#manager.env.wheel.arm(this.#idleTimer, idle);
      else this.#manager.env.wheel.disarm(this.#idleTimer);
    }
    if (plan.maxStreamDurationMs > 0) this.#manager.env.wheel.arm(this.#durationTimer, plan.maxStreamDurationMs);
    this.#forwarder.start(plan);
    // A CONNECT has no body and no end: what follows belongs to the tunnel.
    if (info.request.framing === Framing.Tunnel) {
      this.#requestEnded = true;
      this.#forwarder.end(null);
    }
  }

  #endRequestData(): void {
    const hooks = this.#manager.chain.requestData!;
    let data: Buffer | null = EMPTY;
    for (const hook of hooks) {
      if (this.#off(hook.index)) continue;
      data = hook.filter.onRequestData!(this, data ?? EMPTY, true, this.#config(hook.index));
    }
    if (data !== null && data.length > 0) this.#forwarder.data(data, 0, data.length);
  }

  // === response phase ===

  /** Runs the response hooks and writes the head. */
  #startResponse(head: ResponseHead): void {
    const manager = this.#manager;
    const { config } = manager;
    const { info } = this;
    const { headers } = head;
    (this.#target ?? this.#route)?.responseMutations?.apply(headers, info);
    if (manager.chain.responseHead !== null) this.#runResponseHooks();
    if (config.serverHeader === 'OVERWRITE') headers.set('server', config.serverName);
    else if (config.serverHeader === 'APPEND_IF_ABSENT' && !headers.has('server'))
      headers.add('server', config.serverName);
    if (!headers.has('date')) headers.add('date', formatHttpDate(info.startWall));
    if (config.via !== '') headers.add('via', config.via);
    if (config.alwaysSetRequestIdInResponse) {
      const id = info.request.headers.get('x-request-id');
      if (id !== undefined) headers.set('x-request-id', id);
    }
    if (this.#route?.virtualHost.includeAttemptCountInResponse)
      headers.set('x-envoy-attempt-count', String(info.attempts));
    const framing = this.#responseFraming(head);
    this.#framing = framing;
    // Its length may change under the body hooks, and an HTTP/1.0 client cannot be sent chunks.
    if (framing === Framing.UntilClose) headers.remove('content-length');
    if (!this.#requestEnded || framing === Framing.UntilClose || this.#connection.draining) this.#keepAlive = false;
    this.#responseStarted = true;
    info.responseStart = manager.env.clock.now();
    if (head.reason === '') head.reason = reasonPhrase(head.status);
    this.#connection.output.text(responseHead(head, framing, this.#connectionLine()));
  }

  #connectionLine(): ConnectionLine {
    if (this.#tunnel) return ConnectionLine.None;
    if (!this.#keepAlive) return ConnectionLine.Close;
    return this.info.request.minorVersion === 0 ? ConnectionLine.KeepAlive : ConnectionLine.None;
  }

  /** How the body goes out, whatever way it came in. */
  #responseFraming(head: ResponseHead): Framing {
    const { framing, status } = head;
    if (framing === Framing.Tunnel) return Framing.Tunnel;
    if (this.info.request.method === 'HEAD' || status === 204 || status === 304) return Framing.None;
    if (framing === Framing.None) return Framing.None;
    // What a local reply says is not shown to the body hooks.
    if (framing === Framing.Length && (this.#replied || this.#manager.chain.responseData === null))
      return Framing.Length;
    return this.info.request.minorVersion === 0 ? Framing.UntilClose : Framing.Chunked;
  }

  #runResponseHooks(): void {
    for (const hook of this.#manager.chain.responseHead!) {
      if (!this.#off(hook.index)) hook.filter.onResponseHead!(this, this.#config(hook.index));
    }
  }

  #writeBody(chunk: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.#framing === Framing.None || length === 0) return;
    this.info.bytesSent += length;
    const { output } = this.#connection;
    if (this.#framing !== Framing.Chunked) {
      output.body(chunk, start, end);
      return;
    }
    output.text(chunkHeader(length));
    output.body(chunk, start, end);
    output.text(CHUNK_END);
  }

  #endResponseData(): void {
    let data: Buffer | null = EMPTY;
    for (const hook of this.#manager.chain.responseData!) {
      if (this.#off(hook.index)) continue;
      data = hook.filter.onResponseData!(this, data ?? EMPTY, true, this.#config(hook.index));
    }
    if (data !== null && data.length > 0) this.#writeBody(data, 0, data.length);
  }

  #endResponse(): void {
    if (this.#framing === Framing.Chunked) this.#connection.output.text(lastChunk(this.#responseTrailers));
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
    this.#writeBody(body, 0, body.length);
    this.#endResponse();
  }

  // === timeouts ===

  #touch(): void {
    if (this.#idleMs > 0) this.#manager.env.wheel.arm(this.#idleTimer, this.#idleMs);
  }

  #onIdle(): void {
    if (!this.#active) return;
    this.#manager.stats.count(this.#manager.stats.idleTimeouts);
    this.info.flags |= ResponseFlag.StreamIdleTimeout;
    this.#timeOut('stream_idle_timeout', this.#idleMs);
  }

  #onMaxDuration(): void {
    if (!this.#active) return;
    this.info.flags |= ResponseFlag.DurationTimeout;
    this.#timeOut('max_duration_timeout', 0);
  }

  #timeOut(details: string, ms: number): void {
    this.#forwarder.abort();
    if (this.#responseStarted) {
      this.info.responseCodeDetails = details;
      this.#cut();
      return;
    }
    this.reply(streamTimeoutReply(details, ms, this.#requestEnded));
    this.#flushAll();
  }

  // === end ===

  #finish(): void {
    if (!this.#active) return;
    this.#active = false;
    const manager = this.#manager;
    const { info } = this;
    const { wheel, clock } = manager.env;
    wheel.disarm(this.#idleTimer);
    wheel.disarm(this.#durationTimer);
    info.end = clock.now();
    if (manager.chain.end !== null) {
      for (const hook of manager.chain.end) if (!this.#off(hook.index)) hook.filter.onEnd!(this);
    }
    manager.stats.ended(info.responseCode, info.end - info.start);
    manager.env.record(info);
    if (manager.accessLog !== null) manager.accessLog(info);
    this.#connection.streamEnded(this.#keepAlive && this.#requestEnded && !this.#tunnel);
  }

  /** Frees what the process-wide wheel holds; the connection is gone. */
  close(): void {
    const { wheel } = this.#manager.env;
    wheel.release(this.#idleTimer);
    wheel.release(this.#durationTimer);
    this.#forwarder.close();
  }

  #flushAll(): void {
    if (this.#connection.reading) return;
    this.#forwarder.flush();
    this.flushDownstream();
  }

  #off(index: number): boolean {
    return this.#filterConfigs !== null && this.#filterConfigs[index]!.disabled;
  }
  #config(index: number): unknown {
    return this.#filterConfigs === null ? null : this.#filterConfigs[index]!.config;
  }
}

const EMPTY = Buffer.alloc(0);
