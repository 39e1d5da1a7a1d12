import { randomInt } from 'node:crypto';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { RemoraError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import type { NameEntry } from '../../model/name-table.ts';
import type { ResolvConf } from '../../protocol/dns/resolv-conf.ts';
import type { ListenSockets } from '../io/listen-sockets.ts';
import type { Stats } from '../telemetry/metrics/store.ts';
import { Forwarder } from './forwarder.ts';
import { Responder } from './responder.ts';
import { DnsServer } from './server.ts';
import { DnsStats } from './stats.ts';

export interface DnsProxyOptions {
  /** Where it listens, UDP and TCP. Those of a family that the machine does not have are left out, but not all. */
  readonly addresses: readonly SocketAddress[];
  readonly resolvConf: ResolvConf;
  /** Of the pod: its namespace, and the domain of its Services without it, such as `svc.cluster.local`. */
  readonly namespace: string;
  readonly domain: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly stats: Stats;
  readonly sockets?: ListenSockets | null;
  /** Where the servers of resolv.conf listen; tests have other ports. */
  readonly serverPort?: number;
}

const DNS_PORT = 53;
/** Clients ask again after five seconds: a server that is away must be passed over before. */
const MOST_ATTEMPT_MS = 2_000;
const MAX_IN_FLIGHT = 1_000;
/** A server that knows nothing of names must not keep the proxy from being ready. */
const SYNC_MS = 15_000;

/**
 * DNS for the program beside a sidecar (Istio's `ISTIO_META_DNS_CAPTURE`): its queries are redirected here, so that hosts
 * which only the mesh knows have addresses, and each one of its own.
 */
export class DnsProxy {
  readonly #options: DnsProxyOptions;
  readonly #responder: Responder;
  readonly #forwarder: Forwarder;
  readonly #servers: DnsServer[] = [];
  readonly #sync = Promise.withResolvers<void>();
  #patience: TimerHandle | null = null;
  /** Where it really listens. */
  readonly addresses: SocketAddress[] = [];

  constructor(options: DnsProxyOptions) {
    this.#options = options;
    const { resolvConf, clock, random, log, namespace, domain } = options;
    const stats = new DnsStats(options.stats);
    this.#forwarder = new Forwarder({
      servers: resolvConf.servers.map((host) => ({ host, port: options.serverPort ?? DNS_PORT })),
      attemptMs: Math.min(resolvConf.timeoutS * 1000, MOST_ATTEMPT_MS),
      attempts: resolvConf.attempts,
      maxInFlight: MAX_IN_FLIGHT,
      clock,
      log,
      stats,
      nextId: () => randomInt(0x10000),
    });
    this.#responder = new Responder({
      context: { namespace, domain, search: resolvConf.search[0] ?? '' },
      forwarder: this.#forwarder,
      stats,
      clock,
      random,
    });
  }

  /** Resolves when the names of the mesh are here, or are not to be waited for any longer. */
  get synced(): Promise<void> {
    if (this.#responder.names === null) this.#patience ??= this.#options.clock.after(SYNC_MS, this.#sync.resolve);
    return this.#sync.promise;
  }

  /** Binds everything; rejects when that cannot be. */
  async start(): Promise<void> {
    const { addresses, clock, log, sockets = null } = this.#options;
    let missing: unknown;
    for (const address of addresses) {
      const server = new DnsServer({ responder: this.#responder, clock, log, sockets });
      try {
        const at = await server.listen(address);
        this.#servers.push(server);
        this.addresses.push(at);
        log.info('listening', { listener: 'dns', address: formatAddress(at) });
      } catch (error) {
        if (!(error instanceof RemoraError) || error.code !== 'no_address') throw error;
        missing = error;
      }
    }
    if (this.#servers.length === 0 && missing !== undefined) throw missing;
  }

  /** All names of the mesh, from now on. */
  update(entries: Iterable<NameEntry>): void {
    this.#responder.update(entries);
    this.#patience?.cancel();
    this.#sync.resolve();
  }

  /** Another process answers from now on. */
  leave(): void {
    for (const server of this.#servers) server.leave();
  }

  async close(): Promise<void> {
    this.#patience?.cancel();
    this.#forwarder.close();
    for (const server of this.#servers.splice(0)) await server.close();
  }
}
