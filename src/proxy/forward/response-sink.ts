import type { InternalRedirectPolicy } from '../../model/route.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import type { RequestHead, ResponseHead } from '../../protocol/http/message.ts';
import type { HeadNotes } from '../../protocol/http1/framing.ts';
import type { LocalReply } from '../filters/filter.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';

/** Where responses go: the stream. All calls are synchronous. */
export interface ResponseSink {
  readonly info: StreamInfo;
  readonly request: RequestHead;
  onUpstreamInterim(head: ResponseHead, notes: HeadNotes): void;
  onUpstreamHead(head: ResponseHead, notes: HeadNotes): void;
  onUpstreamData(chunk: Buffer, start: number, end: number): void;
  onUpstreamTrailers(trailers: Headers): void;
  onUpstreamEnd(): void;
  /** The response broke off after its head was passed on. */
  onUpstreamBroken(flag: number, details: string): void;
  /** Whether the redirect is followed; then {@link again} comes next. */
  onUpstreamRedirect(head: ResponseHead, policy: InternalRedirectPolicy): boolean;
  /** The request begins again where it was redirected to, with its whole body. */
  again(body: readonly Buffer[], trailers: Headers | null): void;
  reply(reply: LocalReply): void;
  /** A turn of the upstream's reads is over. */
  flushDownstream(): void;
  pauseDownstream(): void;
  resumeDownstream(): void;
  onTunnelData(chunk: Buffer): void;
  onTunnelEnd(): void;
  /** Our own code threw in a callback from upstream or a timer. */
  onFault(error: unknown): void;
}
