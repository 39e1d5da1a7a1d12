import type { Server, ServerDuplexStream, ServerUnaryCall, StatusObject, sendUnaryData } from '@grpc/grpc-js';
import * as grpc from '@grpc/grpc-js';
import type { Clock } from '../../base/clock.ts';
import { messageOf, RemoraError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { decode, Problems } from '../../xds/proto/codec.ts';
import type { Node } from '../../xds/proto/gen/envoy/config/core/v3.ts';
import { DeltaDiscoveryRequest, DiscoveryRequest } from '../../xds/proto/gen/envoy/service/discovery/v3.ts';
import { type Authenticate, type Caller, type CallFacts, CallRefused, type UnaryMethod } from './caller.ts';
import { Clients } from './clients.ts';
import { type AdsMode, deltaWire, sotwWire, type Wire } from './delta.ts';
import { type ProxyNode, proxyNode } from './node.ts';
import { PushBudget } from './push-budget.ts';
import { PushQueue, type PushQueueOptions } from './push-queue.ts';
import { type DoorOptions, SecureDoor } from './secure-door.ts';
import { Session, SessionLimitError, type SessionRequest } from './session.ts';
import type { SnapshotSource } from './source.ts';

export interface AdsServerOptions {
  readonly source: SnapshotSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 15010; 0 takes a free one. */
  readonly port?: number;
  /** Name of this process, which clients log; default `remora`. */
  readonly identifier?: string;
  readonly maxClients?: number;
  readonly debounce?: Pick<PushQueueOptions, 'quietMs' | 'maxMs'>;
  /** How long routes wait for their clusters to be ACKed; default 15 s. */
  readonly gateMs?: number;
  /** A second port, by TLS, where who calls is found out and may be no other node than its own; absent: none. */
  readonly secure?: () => (Omit<DoorOptions, 'admit' | 'log'> & { readonly authenticate: Authenticate }) | undefined;
  /** What is served beside ADS, on both ports. */
  readonly methods?: readonly UnaryMethod[];
}

const MAX_REQUEST = 16 * 1024 * 1024;
const MAX_RESPONSE = 64 * 1024 * 1024;

/** The ADS server: `StreamAggregatedResources` and `DeltaAggregatedResources`, for any xDS client. */
export class AdsServer {
  readonly #options: AdsServerOptions;
  readonly #queue: PushQueue;
  readonly #budget: PushBudget;
  readonly #wires: Readonly<Record<AdsMode, Wire>>;
  readonly clients = new Clients();
  #server: Server | null = null;
  #secure: { readonly server: Server; readonly door: SecureDoor } | null = null;
  #unsubscribe: (() => void) | null = null;
  #lastId = 0;
  #streams = 0;
  #address = '';

  constructor(options: AdsServerOptions) {
    this.#options = options;
    this.#queue = new PushQueue({ clock: options.clock, ...options.debounce });
    this.#budget = new PushBudget({ clock: options.clock });
    const controlPlane = { identifier: options.identifier ?? 'remora' };
    this.#wires = { sotw: sotwWire(controlPlane), delta: deltaWire(controlPlane) };
  }

  /** `host:port` as bound; '' before `listen`. */
  get address(): string {
    return this.#address;
  }
  get port(): number {
    return Number(this.#address.slice(this.#address.lastIndexOf(':') + 1));
  }
  /** Of the port for TLS; 0 without one. */
  get securePort(): number {
    return this.#secure?.door.port ?? 0;
  }

  /** Binds and serves; returns the port. */
  async listen(): Promise<number> {
    const { host = '127.0.0.1', port = 15010, source, log } = this.#options;
    // The library writes to stderr of itself; what matters comes back as errors and statuses too.
    grpc.setLogger({ error: (text: unknown) => log.debug(String(text)), info: () => {}, debug: () => {} });
    const server = this.#makeServer(null);
    const at = host.includes(':') ? `[${host}]` : host;
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${at}:${port}`, grpc.ServerCredentials.createInsecure(), (error, got) =>
        error === null ? resolve(got) : reject(error),
      );
    }).catch((error: unknown) => {
      throw new RemoraError('ads_bind', `cannot listen on ${at}:${port} for xDS: ${messageOf(error)}`, {
        source: 'user',
        cause: error,
      });
    });
    this.#server = server;
    this.#address = `${at}:${bound}`;
    await this.#listenSecurely();
    this.#unsubscribe = source.onChange((scope) => this.#queue.changed(scope));
    return bound;
  }

  async #listenSecurely(): Promise<void> {
    const { log } = this.#options;
    const secure = this.#options.secure?.();
    if (secure === undefined) return;
    const door: SecureDoor = new SecureDoor({ ...secure, log, admit: (socket) => injector.injectConnection(socket) });
    const server = this.#makeServer({ door, authenticate: secure.authenticate });
    const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    this.#secure = { server, door };
    await door.listen();
  }

  /** `entry`: what its connections come through; null: they come in plain text. */
  #makeServer(entry: Entry | null): Server {
    const server = new grpc.Server({
      'grpc.max_receive_message_length': MAX_REQUEST,
      'grpc.max_send_message_length': MAX_RESPONSE,
      'grpc.max_concurrent_streams': 100,
      // Counts of every socket and call, for a service that nobody asks.
      'grpc.enable_channelz': 0,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
    });
    server.addService(
      {
        StreamAggregatedResources: method(`${ADS}/StreamAggregatedResources`, true),
        DeltaAggregatedResources: method(`${ADS}/DeltaAggregatedResources`, true),
      },
      {
        StreamAggregatedResources: (call: Call) => this.#serve(call, 'sotw', entry),
        DeltaAggregatedResources: (call: Call) => this.#serve(call, 'delta', entry),
      },
    );
    for (const { path, handle } of this.#options.methods ?? []) {
      server.addService(
        { handle: method(path, false) },
        { handle: unary(handle, entry?.door ?? null, this.#options.log) },
      );
    }
    return server;
  }

  /** Ends every stream and frees the port; clients keep what they have and come back later. */
  async close(): Promise<void> {
    this.#unsubscribe?.();
    this.#queue.close();
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    // Not forceShutdown: without channelz the library finds no connections there, and streams of ADS last for ever.
    server.drain(this.#address, 0);
    this.#secure?.server.forceShutdown();
    await this.#secure?.door.close();
    // Done when the port is free again, so that a successor can take it.
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  }

  #serve(call: Call, mode: AdsMode, entry: Entry | null): void {
    const { maxClients = 10_000, log } = this.#options;
    const id = ++this.#lastId;
    const peer = call.getPeer();
    if (this.#streams >= maxClients) {
      refuse(call, grpc.status.RESOURCE_EXHAUSTED, `${maxClients} proxies are connected already`);
      return;
    }
    this.#streams++;
    let session: Session | null = null;
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      this.#streams--;
      if (session === null) return;
      session.close();
      this.#queue.delete(session);
      this.clients.delete(id);
      log.info('proxy left', { peer });
    };
    const fail = (error: unknown): void => {
      const code = codeOf(error);
      log.warn('stream refused', { peer, reason: messageOf(error) });
      end();
      refuse(call, code, code === grpc.status.INTERNAL ? 'internal error' : messageOf(error));
    };
    // By plain text anybody may say anything: keys go no further than this machine.
    const proved = entry !== null || isLoopback(peer);
    const begin = (caller: Caller): void => {
      call.on('data', (bytes: Uint8Array) => {
        if (over) return;
        try {
          const { node, request } = mode === 'delta' ? readDelta(bytes) : readSotw(bytes);
          session ??= this.#open(id, call, mode, node, caller, proved);
          session.request(request);
        } catch (error) {
          fail(error);
        }
      });
    };
    if (entry === null) begin('local');
    else {
      entry.authenticate(factsOf(call, entry.door)).then(
        (caller) => {
          if (!over) begin(caller);
        },
        (error) => {
          if (!over) fail(error);
        },
      );
    }
    call.on('cancelled', end);
    call.on('error', end);
    call.on('close', end);
    call.on('end', () => {
      end();
      call.end();
    });
  }

  #open(id: number, call: Call, mode: AdsMode, sent: Node | undefined, caller: Caller, proved: boolean): Session {
    const { source, clock, log, gateMs = 15_000 } = this.#options;
    const node = proxyNode(sent, { proved, delta: mode === 'delta' });
    checkNode(node, caller);
    const wire = this.#wires[mode];
    const send = (bytes: Uint8Array): void => void call.write(bytes);
    const answered = (): void => this.clients.answered();
    const session = new Session({ node, wire, source, clock, log, gateMs, budget: this.#budget, send, answered });
    this.clients.add({ id, node, peer: call.getPeer(), mode, connectedAt: clock.wall(), session });
    this.#queue.add(session);
    log.info('proxy connected', { proxy: node.id, mode, peer: call.getPeer(), agent: node.userAgent });
    return session;
  }
}

/** `127.0.0.1:4711`, `[::1]:4711`, `::1:4711` */
function isLoopback(peer: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|\[?::1\]?|\[?::ffff:127\.\d+\.\d+\.\d+\]?):\d+$/.test(peer);
}

interface Entry {
  readonly door: SecureDoor;
  readonly authenticate: Authenticate;
}

type Call = ServerDuplexStream<Uint8Array, Uint8Array>;

/** A request that cannot be read; the stream ends with the reason. */
class RequestError extends Error {}

function refuse(call: Call, code: grpc.status, details: string): void {
  const status: Partial<StatusObject> = { code, details };
  call.emit('error', status);
}

const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

function method(path: string, streams: boolean): grpc.MethodDefinition<Uint8Array, Uint8Array> {
  const pass = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    path,
    requestStream: streams,
    responseStream: streams,
    requestSerialize: pass,
    requestDeserialize: (buffer) => buffer,
    responseSerialize: pass,
    responseDeserialize: (buffer) => buffer,
  };
}

type UnaryCall = ServerUnaryCall<Uint8Array, Uint8Array>;

function unary(handle: UnaryMethod['handle'], door: SecureDoor | null, log: Logger) {
  return (call: UnaryCall, done: sendUnaryData<Uint8Array>): void => {
    handle(call.request, factsOf(call, door)).then(
      (response) => done(null, response),
      (error) => {
        const code = codeOf(error);
        log.warn('call refused', { peer: call.getPeer(), path: call.getPath(), reason: messageOf(error) });
        done({ code, details: code === grpc.status.INTERNAL ? 'internal error' : messageOf(error) });
      },
    );
  };
}

function factsOf(call: Call | UnaryCall, door: SecureDoor | null): CallFacts {
  const peer = call.getPeer();
  const [authorization = ''] = call.metadata.get('authorization').map(String);
  return {
    peer,
    secure: door !== null,
    loopback: /^(?:127\.|::1:|::ffff:127\.)/.test(peer),
    token: /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '',
    certificate: door?.clientAt(peer) ?? null,
  };
}

/** A proxy gets the config of the workload that it has proved to be, and of no other (Istio: xds/auth.go). */
function checkNode(node: ProxyNode, caller: Caller): void {
  if (caller === 'local') return;
  const { namespace, serviceAccount } = caller;
  if (node.namespace === namespace && (node.serviceAccount === '' || node.serviceAccount === serviceAccount)) return;
  throw new CallRefused(
    'PERMISSION_DENIED',
    `the proxy is ${namespace}/${serviceAccount}, its node says ${node.namespace}/${node.serviceAccount}`,
  );
}

function codeOf(error: unknown): grpc.status {
  if (error instanceof CallRefused) return grpc.status[error.code];
  if (error instanceof SessionLimitError) return grpc.status.RESOURCE_EXHAUSTED;
  return error instanceof RequestError ? grpc.status.INVALID_ARGUMENT : grpc.status.INTERNAL;
}

interface Read {
  readonly node: Node | undefined;
  readonly request: SessionRequest;
}

function readSotw(bytes: Uint8Array): Read {
  const message = read(DiscoveryRequest, bytes);
  return {
    node: message.node,
    request: {
      typeUrl: typeOf(message.type_url),
      nonce: message.response_nonce ?? '',
      error: message.error_detail,
      names: message.resource_names ?? [],
      subscribe: [],
      unsubscribe: [],
      versions: {},
    },
  };
}

function readDelta(bytes: Uint8Array): Read {
  const message = read(DeltaDiscoveryRequest, bytes);
  return {
    node: message.node,
    request: {
      typeUrl: typeOf(message.type_url),
      nonce: message.response_nonce ?? '',
      error: message.error_detail,
      names: null,
      subscribe: message.resource_names_subscribe ?? [],
      unsubscribe: message.resource_names_unsubscribe ?? [],
      versions: message.initial_resource_versions ?? {},
    },
  };
}

function read<T>(type: Parameters<typeof decode<T>>[0], bytes: Uint8Array): T {
  const problems = new Problems();
  const message = decode(type, bytes, problems, '', { validate: false });
  // A client newer than our protos may say more than we know; that is no reason to turn it away.
  const fatal = problems.list.find(({ reason }) => !reason.startsWith('unknown '));
  if (fatal !== undefined)
    throw new RequestError(`malformed request: ${fatal.path === '' ? '' : `${fatal.path}: `}${fatal.reason}`);
  return message;
}

function typeOf(typeUrl: string | undefined): string {
  if (typeUrl === undefined || typeUrl === '' || typeUrl.length > 256)
    throw new RequestError('a request without a type_url');
  return typeUrl;
}
