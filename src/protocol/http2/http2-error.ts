import { RemoraError } from '../../base/errors.ts';

/** Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7). */
export const H2_CODES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
] as const;

export type H2Code = (typeof H2_CODES)[number];

/** What the peer sent is not HTTP/2: the whole connection is over, and `h2Code` is what to tell the peer. */
export class Http2Error extends RemoraError {
  readonly h2Code: H2Code;

  constructor(h2Code: H2Code, reason: string) {
    super(h2Code.toLowerCase(), reason);
    this.name = 'Http2Error';
    this.h2Code = h2Code;
  }
}

/** The name of a code that came; codes nobody knows count as INTERNAL_ERROR (section 7). */
export function h2CodeOf(value: number): H2Code {
  return H2_CODES[value] ?? 'INTERNAL_ERROR';
}
