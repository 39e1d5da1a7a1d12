import { readName, skipName } from './name.ts';

/** Kinds of records (RFC 1035 section 3.2.2, RFC 3596, RFC 6891). */
export const TYPE = { A: 1, CNAME: 5, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252 } as const;
export const CLASS_IN = 1;
/** RFC 1035 section 4.1.1; BADVERS is the extended one of RFC 6891. */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

/** Over UDP, for whoever does not say that he takes more (RFC 1035 section 4.2.1). */
export const MIN_UDP = 512;
export const HEADER = 12;
/** The length before a message over TCP has 16 bits. */
export const MAX_MESSAGE = 65_535;

const QR = 0x8000;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const RA = 0x0080;
const CD = 0x0010;
const DO = 0x8000;
/** Nobody asks with more than the one or two records of EDNS and signatures. */
const MAX_QUERY_RECORDS = 16;

/** What a client asks; `bytes` is the message itself. */
export interface Query {
  readonly bytes: Uint8Array;
  readonly id: number;
  readonly flags: number;
  /** Lower case, without the last dot. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Where the question ends; it begins after the header. */
  readonly questionEnd: number;
  /** null: the client knows nothing of EDNS. */
  readonly edns: { readonly size: number; readonly version: number; readonly flags: number } | null;
}

/** `drop`: not even an error may be sent, since it is no query, or none that could be answered. */
export type ReadQuery =
  | { readonly kind: 'query'; readonly query: Query }
  | { readonly kind: 'wrong'; readonly rcode: number }
  | { readonly kind: 'drop' };

const DROP: ReadQuery = { kind: 'drop' };
const FORMERR: ReadQuery = { kind: 'wrong', rcode: RCODE.FORMERR };
const NOTIMP: ReadQuery = { kind: 'wrong', rcode: RCODE.NOTIMP };

/** Reads what a client sent. One question a message (RFC 9619), and standard queries only. */
export function readQuery(bytes: Uint8Array): ReadQuery {
  if (bytes.length < HEADER) return DROP;
  const flags = u16(bytes, 2);
  if ((flags & QR) !== 0) return DROP;
  if (opcode(flags) !== 0) return NOTIMP;
  if (u16(bytes, 4) !== 1) return FORMERR;
  const question = readName(bytes, HEADER);
  if (question === null || question.end + 4 > bytes.length) return FORMERR;
  const edns = readEdns(bytes, question.end + 4);
  if (edns === undefined) return FORMERR;
  return {
    kind: 'query',
    query: {
      bytes,
      id: u16(bytes, 0),
      flags,
      name: question.name,
      type: u16(bytes, question.end),
      class: u16(bytes, question.end + 2),
      questionEnd: question.end + 4,
      edns,
    },
  };
}

/** The OPT record after the question; null there is none, undefined when what follows is malformed. */
function readEdns(bytes: Uint8Array, start: number): Query['edns'] | undefined {
  const records = u16(bytes, 6) + u16(bytes, 8) + u16(bytes, 10);
  if (records > MAX_QUERY_RECORDS) return undefined;
  let edns: Query['edns'] = null;
  let at = start;
  for (let i = 0; i < records; i++) {
    const fixed = skipName(bytes, at);
    if (fixed < 0 || fixed + 10 > bytes.length) return undefined;
    const end = fixed + 10 + u16(bytes, fixed + 8);
    if (end > bytes.length) return undefined;
    if (u16(bytes, fixed) === TYPE.OPT) {
      // One, of the root (RFC 6891 section 6.1.1).
      if (edns !== null || fixed !== at + 1) return undefined;
      edns = { size: u16(bytes, fixed + 2), version: bytes[fixed + 5]!, flags: u16(bytes, fixed + 6) };
    }
    at = end;
  }
  return edns;
}

/** An answer of ours, ready to be written behind any question. */
export interface AnswerRecords {
  /** The name that the question's is another one of, as octets; null: the addresses are the question's own. */
  readonly alias: Uint8Array | null;
  readonly type: number;
  /** Octets of each address. */
  readonly addresses: readonly Uint8Array[];
  readonly ttl: number;
}

export interface ReplyOptions {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly records: AnswerRecords | null;
  /** The longest message that the client takes. */
  readonly limit: number;
}

/** What this end takes over UDP: it fits into any network's packets (DNS flag day 2020). */
const OWN_UDP_SIZE = 1232;
const OPT_LENGTH = 11;
const POINTER_TO_QUESTION = 0xc000 | HEADER;

/** Answers a query. What does not fit is left out, and TC says so (RFC 2181 section 9). */
export function encodeReply(query: Query, { rcode, authoritative, records, limit }: ReplyOptions): Uint8Array {
  const { bytes, questionEnd, edns } = query;
  const tail = edns === null ? 0 : OPT_LENGTH;
  const alias = records?.alias ?? null;
  const aliasLength = alias === null ? 0 : 12 + alias.length;
  const addressLength = 12 + (records?.addresses[0]?.length ?? 0);
  const wanted = records?.addresses.length ?? 0;
  const room = Math.max(0, limit - questionEnd - tail - aliasLength);
  const count = Math.min(wanted, Math.floor(room / addressLength));
  const withAlias = alias !== null && questionEnd + tail + aliasLength <= limit;
  const truncated = count < wanted || (alias !== null && !withAlias);
  const reply = Buffer.alloc(questionEnd + (withAlias ? aliasLength : 0) + count * addressLength + tail);
  reply.set(bytes.subarray(0, questionEnd));
  const kept = query.flags & (RD | CD);
  reply.writeUInt16BE(QR | kept | RA | (authoritative ? AA : 0) | (truncated ? TC : 0) | (rcode & 15), 2);
  reply.writeUInt16BE(1, 4);
  reply.writeUInt16BE((withAlias ? 1 : 0) + count, 6);
  reply.writeUInt16BE(0, 8);
  reply.writeUInt16BE(edns === null ? 0 : 1, 10);
  let at = questionEnd;
  let owner = POINTER_TO_QUESTION;
  if (records !== null && withAlias && alias !== null) {
    at = writeRecord(reply, at, owner, TYPE.CNAME, records.ttl, alias);
    owner = 0xc000 | (at - alias.length);
  }
  for (let i = 0; i < count && records !== null; i++)
    at = writeRecord(reply, at, owner, records.type, records.ttl, records.addresses[i]!);
  if (edns !== null) {
    // The root, OPT, our size, the upper bits of the code, version 0, whether DNSSEC was asked for.
    reply.writeUInt16BE(TYPE.OPT, at + 1);
    reply.writeUInt16BE(OWN_UDP_SIZE, at + 3);
    reply.writeUInt8(rcode >> 4, at + 5);
    reply.writeUInt16BE(edns.flags & DO, at + 7);
  }
  return reply;
}

function writeRecord(into: Buffer, at: number, owner: number, type: number, ttl: number, data: Uint8Array): number {
  into.writeUInt16BE(owner, at);
  into.writeUInt16BE(type, at + 2);
  into.writeUInt16BE(CLASS_IN, at + 4);
  into.writeUInt32BE(ttl, at + 6);
  into.writeUInt16BE(data.length, at + 10);
  into.set(data, at + 12);
  return at + 12 + data.length;
}

/** For a message that could not be read as a query: its header alone, with the code. */
export function encodeError(bytes: Uint8Array, rcode: number): Uint8Array {
  const reply = Buffer.alloc(HEADER);
  reply.set(bytes.subarray(0, 4));
  const flags = u16(bytes, 2);
  reply.writeUInt16BE(QR | (flags & (0x7800 | RD | CD)) | RA | (rcode & 15), 2);
  return reply;
}

/** The longest message that a client takes over UDP; `most` bounds what it may say. */
export function udpLimit({ edns }: Query, most: number): number {
  return edns === null ? MIN_UDP : Math.max(MIN_UDP, Math.min(edns.size, most));
}

/** What a server answered to a query that was passed on. */
export interface Response {
  readonly rcode: number;
  readonly truncated: boolean;
}

/** Reads the answer to `query`, which was sent with `id`; null when it is anything else, such as a forgery. */
export function readResponse(bytes: Uint8Array, query: Query, id: number): Response | null {
  if (bytes.length < HEADER || u16(bytes, 0) !== id) return null;
  const flags = u16(bytes, 2);
  if ((flags & QR) === 0 || opcode(flags) !== 0) return null;
  const response = { rcode: flags & 15, truncated: (flags & TC) !== 0 };
  // Who cannot read a question may leave it out.
  if (u16(bytes, 4) === 0)
    return response.rcode === RCODE.NOERROR || response.rcode === RCODE.NXDOMAIN ? null : response;
  if (u16(bytes, 4) !== 1 || !sameQuestion(bytes, query)) return null;
  return response;
}

function sameQuestion(bytes: Uint8Array, query: Query): boolean {
  const question = readName(bytes, HEADER);
  if (question === null || question.end + 4 > bytes.length) return false;
  return (
    question.name === query.name &&
    u16(bytes, question.end) === query.type &&
    u16(bytes, question.end + 2) === query.class
  );
}

/** The same message with another id; `rcode` replaces the code where it is given. */
export function withId(bytes: Uint8Array, id: number, rcode?: number): Uint8Array {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(id, 0);
  if (rcode !== undefined) copy[3] = (copy[3]! & 0xf0) | rcode;
  return copy;
}

function opcode(flags: number): number {
  return (flags >> 11) & 15;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
