import { MORE, malformed, NO, type Sniff, tooLarge } from './sniff.ts';

/** What a ClientHello asks for. RFC 8446 section 4.1.2. */
export interface ClientHello {
  /** The host name of the server_name extension in lower case; '' without one. RFC 6066 section 3. */
  readonly serverName: string;
  /** ALPN protocols in the client's order. RFC 7301. */
  readonly protocols: readonly string[];
  /** Versions that the client speaks as on the wire (0x0304 is TLS 1.3), its preference first, without GREASE (RFC 8701). */
  readonly versions: readonly number[];
}

/** What Envoy reads for a ClientHello at most (tls_inspector: TLS_MAX_CLIENT_HELLO). */
export const MAX_CLIENT_HELLO_BYTES = 64 * 1024;

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const RECORD_HEADER = 5;
const HANDSHAKE_HEADER = 4;
/** RFC 8446 section 5.1. */
const MAX_RECORD_BYTES = 16 * 1024;
const Extension = { ServerName: 0, Alpn: 16, SupportedVersions: 43 } as const;

/** Reads the ClientHello at the start of a TLS connection, also one that is spread over several records. */
export class ClientHelloSniffer {
  /** Where the next record starts. */
  #at = 0;
  /** Handshake bytes of the records before, when there is more than one. */
  readonly #parts: Uint8Array[] = [];
  #gathered = 0;

  /** `bytes`: everything received so far, from the same start each time. */
  read(bytes: Uint8Array): Sniff<ClientHello> {
    for (;;) {
      const left = bytes.length - this.#at;
      const head = this.#checkHeader(bytes, left);
      if (head !== null) return head;
      const size = u16(bytes, this.#at + 3);
      const start = this.#at + RECORD_HEADER;
      const have = Math.min(size, left - RECORD_HEADER);
      const wrong = this.#checkHandshake(bytes, start, have);
      if (wrong !== null) return wrong;
      if (have < size) return bytes.length >= MAX_CLIENT_HELLO_BYTES ? TOO_LARGE : MORE;
      this.#parts.push(bytes.subarray(start, start + size));
      this.#gathered += size;
      this.#at = start + size;
      const message = this.#message();
      if (message === null) {
        if (this.#at >= MAX_CLIENT_HELLO_BYTES) return TOO_LARGE;
        continue;
      }
      const value = readClientHello(message);
      return typeof value === 'string' ? malformed(value) : { kind: 'found', value, length: this.#at };
    }
  }

  /** Null: a record of handshake data starts here and its header is complete. */
  #checkHeader(bytes: Uint8Array, left: number): Sniff<ClientHello> | null {
    const at = this.#at;
    const first = at === 0;
    if (left >= 1 && bytes[at] !== HANDSHAKE_RECORD) return first ? NO : malformed('the ClientHello is interrupted');
    if (left >= 2 && bytes[at + 1] !== 3) return first ? NO : malformed('a record is not of TLS');
    if (left < RECORD_HEADER) return bytes.length >= MAX_CLIENT_HELLO_BYTES ? TOO_LARGE : MORE;
    const size = u16(bytes, at + 3);
    if (size === 0) return first ? NO : malformed('a record is empty');
    if (size > MAX_RECORD_BYTES) return first ? NO : malformed('a record is longer than TLS allows');
    return null;
  }

  /** Looks at the handshake header as soon as it is there; null: nothing wrong so far. */
  #checkHandshake(bytes: Uint8Array, start: number, have: number): Sniff<ClientHello> | null {
    if (this.#gathered > 0 || have === 0) return null;
    if (bytes[start] !== CLIENT_HELLO) return NO;
    return have >= HANDSHAKE_HEADER && u24(bytes, start + 1) > MAX_CLIENT_HELLO_BYTES ? TOO_LARGE : null;
  }

  /** The ClientHello's body once all of it is there. */
  #message(): Uint8Array | null {
    if (this.#gathered < HANDSHAKE_HEADER) return null;
    const size = declaredSize(this.#parts);
    if (this.#gathered < HANDSHAKE_HEADER + size) return null;
    const whole = this.#parts.length === 1 ? this.#parts[0]! : join(this.#parts, this.#gathered);
    return whole.subarray(HANDSHAKE_HEADER, HANDSHAKE_HEADER + size);
  }
}

const TOO_LARGE = tooLarge(`the ClientHello is larger than ${MAX_CLIENT_HELLO_BYTES} bytes`);

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
function u24(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}

/** The length in the handshake header, which may itself be spread over records. */
function declaredSize(parts: readonly Uint8Array[]): number {
  const header: number[] = [];
  for (const part of parts) {
    for (let i = 0; i < part.length && header.length < HANDSHAKE_HEADER; i++) header.push(part[i]!);
    if (header.length === HANDSHAKE_HEADER) break;
  }
  return (header[1]! << 16) | (header[2]! << 8) | header[3]!;
}

function join(parts: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Reads forward in a vector; any read past its end makes it `broken` and gives nothing. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  broken = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get left(): number {
    return this.broken ? 0 : this.#bytes.length - this.#at;
  }
  number(octets: 1 | 2): number {
    const bytes = this.take(octets);
    let value = 0;
    for (const byte of bytes) value = (value << 8) | byte;
    return value;
  }
  take(count: number): Uint8Array {
    if (this.broken || count > this.#bytes.length - this.#at) {
      this.broken = true;
      return EMPTY;
    }
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
  /** A vector with its length in front. */
  vector(lengthOctets: 1 | 2): Reader {
    const inner = new Reader(this.take(this.number(lengthOctets)));
    inner.broken = this.broken;
    return inner;
  }
}

const EMPTY = new Uint8Array(0);

/** The ClientHello, or what is wrong with it. */
function readClientHello(body: Uint8Array): ClientHello | string {
  const hello = new Reader(body);
  const legacyVersion = hello.number(2);
  hello.take(32);
  const sessionId = hello.vector(1);
  const cipherSuites = hello.vector(2);
  const compression = hello.vector(1);
  if (hello.broken) return 'the ClientHello is shorter than it says';
  if (legacyVersion >> 8 !== 3) return 'the ClientHello is not of TLS';
  if (sessionId.left > 32) return 'the session id is too long';
  if (cipherSuites.left < 2 || cipherSuites.left % 2 !== 0) return 'the cipher suites are broken';
  if (compression.left < 1) return 'there is no compression method';
  let serverName = '';
  let protocols: readonly string[] = [];
  let versions: readonly number[] = [];
  if (hello.left > 0) {
    const extensions = hello.vector(2);
    if (hello.broken || hello.left > 0) return 'the extensions are broken';
    const seen = new Set<number>();
    while (extensions.left > 0) {
      const type = extensions.number(2);
      const content = extensions.vector(2);
      if (extensions.broken) return 'an extension is longer than the rest';
      if (seen.has(type)) return 'an extension stands there twice';
      seen.add(type);
      if (type === Extension.ServerName) {
        const name = readServerName(content);
        if (name === null) return 'the server name is broken';
        serverName = name;
      } else if (type === Extension.Alpn) {
        const list = readAlpn(content);
        if (list === null) return 'the ALPN list is broken';
        protocols = list;
      } else if (type === Extension.SupportedVersions) {
        const list = readVersions(content);
        if (list === null) return 'the supported versions are broken';
        versions = list;
      }
    }
  }
  // Without the extension the legacy version is the highest, and lower ones may be spoken too.
  return { serverName, protocols, versions: versions.length > 0 ? versions : [legacyVersion] };
}

/** Null when broken; the octets of a name are ASCII without NUL, else it is broken too. */
function readServerName(content: Reader): string | null {
  const list = content.vector(2);
  if (content.broken || content.left > 0 || list.left === 0) return null;
  const type = list.number(1);
  const name = list.vector(2);
  if (list.broken || list.left > 0 || type !== 0 || name.left === 0 || name.left > 255) return null;
  let text = '';
  for (const byte of name.take(name.left)) {
    if (byte <= 0x20 || byte >= 0x7f) return null;
    text += String.fromCharCode(byte);
  }
  return text.toLowerCase();
}

function readAlpn(content: Reader): string[] | null {
  const list = content.vector(2);
  if (content.broken || content.left > 0 || list.left === 0) return null;
  const protocols: string[] = [];
  while (list.left > 0) {
    const name = list.vector(1);
    if (list.broken || name.left === 0) return null;
    protocols.push(String.fromCharCode(...name.take(name.left)));
  }
  return protocols;
}

function readVersions(content: Reader): number[] | null {
  const list = content.vector(1);
  if (content.broken || content.left > 0 || list.left < 2 || list.left % 2 !== 0) return null;
  const versions: number[] = [];
  while (list.left > 0) {
    const version = list.number(2);
    if ((version & 0x0f0f) !== 0x0a0a) versions.push(version);
  }
  return versions;
}
