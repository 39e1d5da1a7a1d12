import { RemoraError } from '../../base/errors.ts';
import type { H2Code } from '../http2/http2-error.ts';

/** Status codes of gRPC (doc/statuscodes.md), by number. */
export const GRPC_CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

export type GrpcCode = (typeof GRPC_CODES)[number];

/** How a call failed, as `14 UNAVAILABLE: connect ECONNREFUSED …`. */
export class GrpcError extends RemoraError {
  readonly grpcCode: GrpcCode;

  constructor(grpcCode: GrpcCode, details: string, cause?: unknown) {
    const message = `${GRPC_CODES.indexOf(grpcCode)} ${grpcCode}: ${details}`;
    super(grpcCode.toLowerCase(), message, { source: 'upstream', cause });
    this.name = 'GrpcError';
    this.grpcCode = grpcCode;
  }
}

/** The code in a `grpc-status` field; what is no number of a code is UNKNOWN. */
export function codeOf(grpcStatus: string): GrpcCode {
  return (/^\d{1,2}$/.test(grpcStatus) ? GRPC_CODES[Number(grpcStatus)] : undefined) ?? 'UNKNOWN';
}

/** What an answer other than 200 means for a call (doc/http-grpc-status-mapping.md). */
export function codeOfHttp(status: string): GrpcCode {
  switch (status) {
    case '400':
      return 'INTERNAL';
    case '401':
      return 'UNAUTHENTICATED';
    case '403':
      return 'PERMISSION_DENIED';
    case '404':
      return 'UNIMPLEMENTED';
    case '429':
    case '502':
    case '503':
    case '504':
      return 'UNAVAILABLE';
    default:
      return 'UNKNOWN';
  }
}

/** What RST_STREAM means for a call (doc/PROTOCOL-HTTP2.md, "Errors"). */
export function codeOfReset(code: H2Code): GrpcCode {
  switch (code) {
    case 'REFUSED_STREAM':
      return 'UNAVAILABLE';
    case 'CANCEL':
      return 'CANCELLED';
    case 'ENHANCE_YOUR_CALM':
      return 'RESOURCE_EXHAUSTED';
    case 'INADEQUATE_SECURITY':
      return 'PERMISSION_DENIED';
    default:
      return 'INTERNAL';
  }
}

/** The text of a `grpc-message` field, which is percent-encoded UTF-8; as it came when it is not. */
export function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
