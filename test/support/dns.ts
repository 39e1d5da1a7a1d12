import { encodeName } from '../../src/protocol/dns/name.ts';

export interface QueryShape {
  readonly id?: number;
  readonly flags?: number;
  /** How many questions the header says there are; there is one. */
  readonly questions?: number;
  /** Additional records that the header says there are, beyond those that there are. */
  readonly extra?: number;
  readonly class?: number;
  /** Additional records, as octets. */
  readonly records?: readonly Uint8Array[];
}

/** A query as octets. */
export function queryBytes(name: string, type: number, shape: QueryShape = {}): Uint8Array {
  const { id = 1, flags = 0x0100, questions = 1, extra = 0, records = [] } = shape;
  const header = Buffer.alloc(12);
  for (const [i, value] of [id, flags, questions, 0, 0, records.length + extra].entries())
    header.writeUInt16BE(value, i * 2);
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(type, 0);
  tail.writeUInt16BE(shape.class ?? 1, 2);
  return Buffer.concat([header, encodeName(name) ?? Buffer.from(name, 'latin1'), tail, ...records]);
}

/** An OPT record (RFC 6891 section 6.1.2). */
export function opt(size: number, { version = 0, flags = 0 } = {}): Uint8Array {
  return Uint8Array.of(0, 0, 41, size >> 8, size & 255, 0, version, flags >> 8, flags & 255, 0, 0);
}

export interface ReadRecord {
  readonly name: string;
  readonly type: number;
  readonly ttl: number;
  /** An address or a name. */
  readonly data: string;
}

export interface ReadAnswer {
  readonly id: number;
  readonly flags: number;
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly question: string;
  readonly answers: readonly ReadRecord[];
  readonly opt: { size: number; rcode: number; version: number; flags: number } | null;
}

/** Reads an answer from its octets alone, by RFC 1035: nothing of the code under test. Throws for what is malformed. */
export function readAnswer(bytes: Uint8Array): ReadAnswer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 12;
  const name = (): string => {
    const labels: string[] = [];
    let back = -1;
    for (let hops = 0; ; ) {
      const length = view.getUint8(at);
      if (length >= 0xc0) {
        if (++hops > 20) throw new Error('a loop');
        if (back < 0) back = at + 2;
        at = view.getUint16(at) & 0x3fff;
      } else if (length === 0) {
        at = back < 0 ? at + 1 : back;
        return labels.join('.');
      } else {
        labels.push(Buffer.from(bytes.subarray(at + 1, at + 1 + length)).toString('latin1'));
        at += length + 1;
      }
    }
  };
  const question = view.getUint16(4) === 0 ? '' : name();
  if (view.getUint16(4) > 0) at += 4;
  const answers: ReadRecord[] = [];
  let edns: ReadAnswer['opt'] = null;
  const count = view.getUint16(6) + view.getUint16(8) + view.getUint16(10);
  for (let i = 0; i < count; i++) {
    const owner = name();
    const type = view.getUint16(at);
    const cls = view.getUint16(at + 2);
    const ttl = view.getUint32(at + 4);
    const end = at + 10 + view.getUint16(at + 8);
    at += 10;
    if (type === 41) edns = { size: cls, rcode: ttl >>> 24, version: (ttl >> 16) & 255, flags: ttl & 0xffff };
    else answers.push({ name: owner, type, ttl, data: dataText(bytes, type, at, end, name) });
    at = end;
  }
  if (at !== bytes.length) throw new Error(`${bytes.length - at} octets more`);
  const flags = view.getUint16(2);
  return {
    id: view.getUint16(0),
    flags,
    rcode: flags & 15,
    authoritative: (flags & 0x400) !== 0,
    truncated: (flags & 0x200) !== 0,
    question,
    answers,
    opt: edns,
  };
}

function dataText(bytes: Uint8Array, type: number, at: number, end: number, name: () => string): string {
  if (type === 1) return bytes.subarray(at, end).join('.');
  if (type === 5) return name();
  if (type !== 28) return Buffer.from(bytes.subarray(at, end)).toString('hex');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[at + 2 * i]! << 8) | bytes[at + 2 * i + 1]!).toString(16));
  return groups.join(':').replace(/(^|:)0(:0)+(:|$)/, '::');
}
