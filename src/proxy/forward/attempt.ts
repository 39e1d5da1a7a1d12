import { formatAddress } from '../../model/address.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { Framing, type RequestHead, type ResponseHead } from '../../protocol/http/message.ts';
import type { HeadNotes } from '../../protocol/http1/framing.ts';
import { CHUNK_END, chunkHeader, lastChunk, requestHead } from '../../protocol/http1/serializer.ts';
import type { Resource } from '../upstream/circuit-breaker.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import type { Http1Connection, ResetReason, ResponseReader } from '../upstream/pool/http1-connection.ts';
import type { Http1Pool, PendingRequest, PoolEnvironment, PoolFailure } from '../upstream/pool/http1-pool.ts';
import { poolFor } from '../upstream/pool/server-pools.ts';

/** What an attempt tells the forwarder that started it. */
export interface AttemptOwner {
  readonly request: RequestHead;
  /** A connection is there and the head has gone out on it; the body may follow. */
  attemptReady(attempt: Attempt): void;
  attemptInterim(head: ResponseHead, notes: HeadNotes): void;
  attemptHead(attempt: Attempt, head: ResponseHead, notes: HeadNotes): void;
  attemptData(chunk: Buffer, start: number, end: number): void;
  attemptTrailers(trailers: Headers): void;
  attemptEnd(attempt: Attempt): void;
  attemptFailed(attempt: Attempt, failure: ResetReason | PoolFailure, detail: string): void;
  attemptFlush(): void;
  attemptWritable(): void;
  attemptTunnelData(chunk: Buffer): void;
  attemptTunnelEnd(): void;
  /** The owner threw in one of these: caught here, so that the connection, and who else waits for it, go on. */
  attemptFault(error: unknown): void;
}

/** One try of a request at one endpoint. Reused by its stream for every try of every request. */
export class Attempt implements ResponseReader, PendingRequest {
  readonly #owner: AttemptOwner;
  readonly #pools: PoolEnvironment;
  cluster: UpstreamCluster | null = null;
  endpoint: UpstreamEndpoint | null = null;
  connection: Http1Connection | null = null;
  /** How the request's body goes out. */
  framing: Framing = Framing.None;
  /** Whether the request asks for an upgrade that we forward. */
  upgrade = false;
  /** Header lines of this try only, each ended by CRLF. */
  extraLines = '';
  priority: 'DEFAULT' | 'HIGH' = 'DEFAULT';
  fresh = false;
  pendingUnit: Resource | null = null;
  /** The response's head came in. */
  responded = false;
  /** The connection had served other requests before: it may have been closed under us. */
  reused = false;
  /** It got a connection: the upstream may have seen some of the request. */
  sent = false;
  /** A byte of the response came in before it ended. */
  responseStarted = false;
  get ready(): boolean {
    return this.connection !== null;
  }
  /** Started and not ended. */
  get active(): boolean {
    return this.#active;
  }
  #pool: Http1Pool | null = null;
  #active = false;

  constructor(owner: AttemptOwner, pools: PoolEnvironment) {
    this.#owner = owner;
    this.#pools = pools;
  }

  /** Starts on `endpoint`; the owner hears `attemptReady` or `attemptFailed`, perhaps before this returns. */
  start(cluster: UpstreamCluster, endpoint: UpstreamEndpoint): void {
    this.cluster = cluster;
    this.endpoint = endpoint;
    this.connection = null;
    this.responded = false;
    this.reused = false;
    this.sent = false;
    this.responseStarted = false;
    this.#active = true;
    endpoint.activeRequests++;
    endpoint.requests++;
    this.#pool = poolFor(endpoint, cluster, this.#owner.request, this.#pools);
    this.#pool.acquire(this, cluster);
  }

  write(chunk: Buffer, start: number, end: number): void {
    const output = this.connection!.output;
    if (this.framing === Framing.Chunked) {
      output.text(chunkHeader(end - start));
      output.body(chunk, start, end);
      output.text(CHUNK_END);
    } else {
      output.body(chunk, start, end);
    }
  }

  /** The request is whole. */
  end(trailers: Headers | null): void {
    const connection = this.connection!;
    if (this.framing === Framing.Chunked) connection.output.text(lastChunk(this.#mayTrail ? trailers : null));
    connection.output.flush();
    connection.endRequest();
  }

  /** Sends what has gathered; false when the upstream takes no more for now. */
  flush(): boolean {
    return this.connection === null ? true : this.connection.output.flush();
  }

  /** Gives the try up; the owner hears nothing more of it. */
  abort(): void {
    if (!this.#active) return;
    const connection = this.connection;
    this.#release();
    if (connection !== null) connection.abandon(this);
    else this.#pool?.cancel(this);
  }

  // === PendingRequest ===

  onConnection(connection: Http1Connection): void {
    try {
      this.connection = connection;
      this.sent = true;
      this.reused = connection.requests > 0;
      this.cluster!.stats.attemptStarted();
      const { request } = this.#owner;
      connection.begin(this, request.method, this.upgrade);
      connection.output.text(requestHead(request, this.framing, this.extraLines));
      this.#owner.attemptReady(this);
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }

  onPoolFailure(failure: PoolFailure, detail: string): void {
    try {
      this.#release();
      this.#owner.attemptFailed(this, failure, detail);
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }

  // === ResponseReader ===

  onHead(head: ResponseHead): void {
    try {
      const notes = this.connection!.notes;
      if (head.status < 200 && head.status !== 101) {
        this.#owner.attemptInterim(head, notes);
        return;
      }
      this.responded = true;
      this.#owner.attemptHead(this, head, notes);
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }
  onData(chunk: Buffer, start: number, end: number): void {
    try {
      this.#owner.attemptData(chunk, start, end);
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }
  onTrailers(trailers: Headers): void {
    try {
      if (this.#mayTrail) this.#owner.attemptTrailers(trailers);
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }
  onEnd(): void {
    try {
      this.#release();
      this.#owner.attemptEnd(this);
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }
  onReset(reason: ResetReason, detail: string): void {
    try {
      this.#release();
      this.#owner.attemptFailed(this, reason, detail);
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }
  onFlush(): void {
    try {
      this.#owner.attemptFlush();
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }
  onWritable(): void {
    try {
      this.#owner.attemptWritable();
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }
  onTunnelData(chunk: Buffer): void {
    try {
      if (this.#active) this.#owner.attemptTunnelData(chunk);
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }
  onTunnelEnd(): void {
    try {
      if (this.#active) this.#owner.attemptTunnelEnd();
    } catch (error) {
      this.#owner.attemptFault(error);
    }
  }

  /** The endpoint as logs and errors print it. */
  get address(): string {
    const endpoint = this.endpoint;
    return endpoint === null ? '' : formatAddress(endpoint);
  }

  /** Trailers go to this cluster and come from it: an app that takes them for headers would not know better. */
  get #mayTrail(): boolean {
    return this.cluster!.config.enableTrailers === true;
  }

  #release(): void {
    if (!this.#active) return;
    this.#active = false;
    this.endpoint!.activeRequests--;
    if (this.connection === null) return;
    this.responseStarted = this.connection.responseStarted;
    this.connection = null;
    this.cluster!.stats.attemptEnded();
  }
}
