import { Headers } from './headers.ts';

/** How a message's body is delimited (RFC 9112 section 6). */
export const Framing = {
  /** No body. */
  None: 0,
  /** `contentLength` bytes. */
  Length: 1,
  /** Chunked transfer coding, perhaps with trailers. */
  Chunked: 2,
  /** Until the connection closes; responses only. */
  UntilClose: 3,
  /** What follows is not HTTP: CONNECT or an upgrade that was accepted. */
  Tunnel: 4,
} as const;
export type Framing = (typeof Framing)[keyof typeof Framing];

/** A request's head. One object a connection or stream, reset and filled again for every request. */
export class RequestHead {
  method = '';
  /** Path with query, origin form (`/a?b=c`); `*` for OPTIONS; '' for CONNECT. */
  path = '';
  /** Host and port as the client named them: from the absolute-form target, else from Host; '' when HTTP/1.0 named none. */
  authority = '';
  /** `http` or `https`: what the client spoke to us, or the absolute-form target's scheme. */
  scheme = 'http';
  /** True when the target came in absolute form, as clients of an explicit proxy send it. */
  absoluteForm = false;
  /** HTTP/1 minor version, 0 or 1. */
  minorVersion = 1;
  framing: Framing = Framing.None;
  /** Valid for {@link Framing.Length}; otherwise -1. */
  contentLength = -1;
  /** Whether the connection may be used again after this message (version and Connection header). */
  keepAlive = true;
  /** `Expect: 100-continue` was sent. */
  expectContinue = false;
  /** The Upgrade header's value when Connection names `upgrade`, else ''. */
  upgrade = '';
  readonly headers = new Headers();

  reset(): void {
    this.method = '';
    this.path = '';
    this.authority = '';
    this.scheme = 'http';
    this.absoluteForm = false;
    this.minorVersion = 1;
    this.framing = Framing.None;
    this.contentLength = -1;
    this.keepAlive = true;
    this.expectContinue = false;
    this.upgrade = '';
    this.headers.reset();
  }
}

/** A response's head. */
export class ResponseHead {
  status = 0;
  /** Reason phrase as it came; may be ''. */
  reason = '';
  minorVersion = 1;
  framing: Framing = Framing.None;
  contentLength = -1;
  keepAlive = true;
  /** `Keep-Alive: timeout=` in ms when the server named one, else -1. */
  keepAliveTimeoutMs = -1;
  /** The Upgrade header's value of a 101, else ''. */
  upgrade = '';
  readonly headers = new Headers();

  reset(): void {
    this.status = 0;
    this.reason = '';
    this.minorVersion = 1;
    this.framing = Framing.None;
    this.contentLength = -1;
    this.keepAlive = true;
    this.keepAliveTimeoutMs = -1;
    this.upgrade = '';
    this.headers.reset();
  }
}
