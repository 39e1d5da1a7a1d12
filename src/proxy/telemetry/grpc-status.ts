import { codeOfHttp, GRPC_CODES } from '../../protocol/grpc/status.ts';
import type { StreamInfo } from './stream-info.ts';

/** The caller's time was over before there was an answer. */
export const DEADLINE_EXCEEDED: number = GRPC_CODES.indexOf('DEADLINE_EXCEEDED');

/** The gRPC status that the upstream gave: in trailers, or in a response that is trailers only; undefined without one. */
export function grpcStatus({ responseTrailers, response }: StreamInfo): number | undefined {
  const status = responseTrailers?.get('grpc-status') ?? response.headers.get('grpc-status');
  return status !== undefined && /^\d{1,9}$/.test(status) ? Number(status) : undefined;
}

/** The same, else the status that stands for the HTTP code (grpc: doc/http-grpc-status-mapping.md). */
export function grpcStatusOrMapped(info: StreamInfo): number {
  return grpcStatus(info) ?? GRPC_CODES.indexOf(codeOfHttp(String(info.responseCode)));
}

export function isGrpcType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:$|[+;])/.test(contentType);
}
