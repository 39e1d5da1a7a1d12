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

const State = { Method: 0, Target: 1, Version: 2 } as const;

/** RFC 9110 section 5.6.2. */
const IS_TOKEN = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  IS_TOKEN[c.charCodeAt(0)] = 1;
}

const SP = 0x20;
const CR = 0x0d;
const LF = 0x0a;

/**
 * Finds out whether a connection starts with a request line of HTTP/1 (RFC 9112 section 3) or HTTP/2's preface.
 * Which requests are good is not asked here, only whether something else is meant.
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
      switch (this.#state) {
        case State.Method:
          if (byte === SP && i > 0) this.#state = State.Target;
          else if (IS_TOKEN[byte] === 0 || i >= MAX_METHOD_BYTES) return NO;
          break;
        case State.Target:
          if (byte === SP && bytes[i - 1] !== SP) {
            this.#state = State.Version;
            this.#versionStart = i + 1;
          } else if (byte <= SP || byte === 0x7f) return NO;
          break;
        default: {
          const answer = versionByte(bytes, this.#versionStart, i);
          if (answer !== null) return answer;
        }
      }
    }
    this.#at = end;
    return end >= MAX_REQUEST_LINE_BYTES ? TOO_LARGE : MORE;
  }
}

const TOO_LARGE = tooLarge(`the request line is longer than ${MAX_REQUEST_LINE_BYTES} bytes`);

/** One octet of `HTTP/d.d` and the line's end; null: as it should be, so far. */
function versionByte(bytes: Uint8Array, start: number, i: number): Sniff<HttpPreface> | null {
  const byte = bytes[i]!;
  const at = i - start;
  if (at < VERSION.length) return byte === VERSION[at] ? null : NO;
  if (at === 5 || at === 7) return byte >= 0x30 && byte <= 0x39 ? null : NO;
  if (at === 6) return byte === 0x2e ? null : NO;
  if (at === 8 && byte === CR) return null;
  if (byte !== LF) return NO;
  const is11 = bytes[start + 5] === 0x31 && bytes[start + 7] === 0x31;
  return { kind: 'found', value: is11 ? 'http/1.1' : 'http/1.0', length: i + 1 };
}

function matchHttp2(bytes: Uint8Array): 'whole' | 'part' | 'no' {
  const size = Math.min(bytes.length, HTTP2_PREFACE.length);
  for (let i = 0; i < size; i++) if (bytes[i] !== HTTP2_PREFACE[i]) return 'no';
  return size === HTTP2_PREFACE.length ? 'whole' : 'part';
}
