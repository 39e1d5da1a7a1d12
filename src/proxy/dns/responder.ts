import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { NameEntry } from '../../model/name-table.ts';
import {
  type AnswerRecords,
  CLASS_IN,
  encodeError,
  encodeReply,
  MAX_MESSAGE,
  type Query,
  RCODE,
  readQuery,
  TYPE,
  udpLimit,
  withId,
} from '../../protocol/dns/message.ts';
import type { DnsTransport, Forwarder } from './forwarder.ts';
import { type FoundName, type NameContext, NameIndex } from './name-index.ts';
import type { DnsStats } from './stats.ts';

/** Istio's: low, so that what changes is soon known. */
const TTL_S = 30;
/** Over loopback nothing is cut on the way, but memory is bounded. */
const MOST_UDP = 4096;
/** Without names so long after the start, what can be known elsewhere is better than nothing. */
const GRACE_MS = 5_000;

export interface ResponderOptions {
  readonly context: NameContext;
  readonly forwarder: Pick<Forwarder, 'forward'>;
  readonly stats: DnsStats;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Answers what the mesh knows, and passes everything else on. While the names are awaited every answer is SERVFAIL, so
 * that nobody is told wrongly that a host of the mesh is not there; but not for long: then names outside have to do.
 */
export class Responder {
  readonly #options: ResponderOptions;
  readonly #startedAt: number;
  #index: NameIndex | null = null;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
  }

  /** Names that the mesh knows; null while they are awaited. */
  get names(): number | null {
    return this.#index?.size ?? null;
  }

  /** All names there are from now on. */
  update(entries: Iterable<NameEntry>): void {
    this.#index = new NameIndex(this.#options.context, entries);
  }

  /** Calls `reply` once, perhaps before it returns, or never for what must not be answered. */
  handle(bytes: Uint8Array, transport: DnsTransport, reply: (message: Uint8Array) => void): void {
    const { stats } = this.#options;
    stats.request();
    const read = readQuery(bytes);
    if (read.kind === 'drop') return;
    if (read.kind === 'wrong') {
      reply(encodeError(bytes, read.rcode));
      return;
    }
    const { query } = read;
    if (query.edns !== null && query.edns.version !== 0) reply(this.#answer(query, transport, RCODE.BADVERS, null));
    // Whole zones are nobody's business, and many messages.
    else if (query.type === TYPE.AXFR || query.type === TYPE.IXFR)
      reply(this.#answer(query, transport, RCODE.REFUSED, null));
    else if (this.#index === null && this.#options.clock.now() - this.#startedAt < GRACE_MS)
      reply(this.#answer(query, transport, RCODE.SERVFAIL, null));
    else this.#resolve(query, transport, reply);
  }

  #resolve(query: Query, transport: DnsTransport, reply: (message: Uint8Array) => void): void {
    const found = query.class === CLASS_IN ? (this.#index?.find(query.name) ?? null) : null;
    if (found !== null && (query.type === TYPE.A || query.type === TYPE.AAAA)) {
      reply(this.#answer(query, transport, RCODE.NOERROR, this.#records(found, query.type), true));
      return;
    }
    this.#options.forwarder.forward(query, transport, (answer, rcode) => {
      if (answer === null) reply(this.#answer(query, transport, RCODE.SERVFAIL, null));
      // The name is there: a client that hears otherwise of one type would not ask for its addresses (RFC 8020).
      else if (found !== null && rcode === RCODE.NXDOMAIN) reply(withId(answer, query.id, RCODE.NOERROR));
      else reply(answer);
    });
  }

  /** Without addresses of the family there are no records: the name is there all the same. */
  #records({ addresses, alias }: FoundName, type: number): AnswerRecords {
    const all = type === TYPE.A ? addresses.v4 : addresses.v6;
    return { alias: all.length === 0 ? null : alias, type, addresses: this.#turned(all), ttl: TTL_S };
  }

  /** In another order each time: many clients take the first. */
  #turned(addresses: readonly Uint8Array[]): readonly Uint8Array[] {
    if (addresses.length < 2) return addresses;
    const from = this.#options.random.int(addresses.length);
    return from === 0 ? addresses : [...addresses.slice(from), ...addresses.slice(0, from)];
  }

  #answer(
    query: Query,
    transport: DnsTransport,
    rcode: number,
    records: AnswerRecords | null,
    authoritative = false,
  ): Uint8Array {
    const limit = transport === 'tcp' ? MAX_MESSAGE : udpLimit(query, MOST_UDP);
    return encodeReply(query, { rcode, authoritative, records, limit });
  }
}
