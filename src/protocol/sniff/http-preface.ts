import { MORE, NO, type Sniff, tooLarge } from './sniff.ts';

/** Envoy's names of what http_inspector finds: ALPN's, and `h2c` for HTTP/2 in the clear. */
export type HttpPreface = 'http/1.0' | 'http/1.1' | 'h2c';

/** What Envoy reads for a request line at most (http_inspector: MAX_INSPECT_SIZE). */
export const MAX_REQUEST_LINE_BYTES = 64 * 1024;

/** RFC 9113 section 3.4. */
const HTTP2_PREFACE = Uint8Array.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', (c) => c.charCodeAt(0));
const VERSION = Uint8Array.from('HTTP/', (c) => c.charCodeAt(0));

/** Longer than any method in use: text that is no HTTP is not waited for. */
const MAX_METHOD_BYTES = 64;

const State = { Method: 0, BeforeTarget: 1, Target: 2, BeforeVersion: 3, Version: 4, Tail: 5 } as const;

/** RFC 9110 section 5.6.2. */
const IS_TOKEN = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  IS_TOKEN[c.charCodeAt(0)] = 1;
}

const LF = 0x0a;

/** What some servers take for a space (RFC 9112 section 3): space, tab, VT, FF and CR. */
function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || (byte >= 0x0b && byte <= 0x0d);
}

/**
 * Finds out whether a connection starts with a request line of HTTP/1 (RFC 9112 section 3) or HTTP/2's preface.
 * Which requests are good is not asked here: what a lenient server would take for HTTP is HTTP, so that nothing gets
 * around the HTTP chain by being written oddly, and is refused there.
 */
export class HttpPrefaceSniffer {
  #at = 0;
  #state: number = State.Method;
  #versionStart = 0;

  /** `bytes`: everything received so far, from the same start each time. */
  read(bytes: Uint8Array): Sniff<HttpPreface> {
    const http2 = matchHttp2(bytes);
    if (http2 === 'whole') return { kind: 'found', value: 'h2c', length: HTTP2_PREFACE.length };
    if (http2 === 'part') return MORE;
    const end = Math.min(bytes.length, MAX_REQUEST_LINE_BYTES);
    for (let i = this.#at; i < end; i++) {
      const byte = bytes[i]!;
      if (byte === LF) return this.#state === State.Tail ? this.#found(bytes, i + 1) : NO;
      if (!this.#next(byte, i)) return NO;
    }
    this.#at = end;
    return end >= MAX_REQUEST_LINE_BYTES ? TOO_LARGE : MORE;
  }

  /** One octet of the line; false: it is none of HTTP's. */
  #next(byte: number, i: number): boolean {
    const blank = isBlank(byte);
    switch (this.#state) {
      case State.Method:
        if (!blank) return IS_TOKEN[byte] === 1 && i < MAX_METHOD_BYTES;
        this.#state = State.BeforeTarget;
        return i > 0;
      case State.BeforeTarget:
        if (blank) return true;
        this.#state = State.Target;
        return isVisible(byte);
      case State.Target:
        if (blank) this.#state = State.BeforeVersion;
        return blank || isVisible(byte);
      case State.BeforeVersion:
        if (blank) return true;
        this.#state = State.Version;
        this.#versionStart = i;
        return byte === VERSION[0];
      case State.Version: {
        const at = i - this.#versionStart;
        if (at === VERSION_BYTES - 1) this.#state = State.Tail;
        if (at < VERSION.length) return byte === VERSION[at];
        return at === 6 ? byte === 0x2e : byte >= 0x30 && byte <= 0x39;
      }
      default:
        return blank;
    }
  }

  #found(bytes: Uint8Array, length: number): Sniff<HttpPreface> {
    const digits = this.#versionStart + VERSION.length;
    const is11 = bytes[digits] === 0x31 && bytes[digits + 2] === 0x31;
    return { kind: 'found', value: is11 ? 'http/1.1' : 'http/1.0', length };
  }
}

/** `HTTP/1.1` */
const VERSION_BYTES = 8;

/** Other control characters are of binary protocols, which are not to be waited for. */
function isVisible(byte: number): boolean {
  return byte > 0x20 && byte !== 0x7f;
}

const TOO_LARGE = tooLarge(`the request line is longer than ${MAX_REQUEST_LINE_BYTES} bytes`);

function matchHttp2(bytes: Uint8Array): 'whole' | 'part' | 'no' {
  const size = Math.min(bytes.length, HTTP2_PREFACE.length);
  for (let i = 0; i < size; i++) if (bytes[i] !== HTTP2_PREFACE[i]) return 'no';
  return size === HTTP2_PREFACE.length ? 'whole' : 'part';
}
