import type { StreamInfo } from './stream-info.ts';

/** The gRPC status that the upstream gave: in trailers, or in a response that is trailers only; undefined without one. */
export function grpcStatus({ responseTrailers, response }: StreamInfo): number | undefined {
  const status = responseTrailers?.get('grpc-status') ?? response.headers.get('grpc-status');
  return status !== undefined && /^\d{1,9}$/.test(status) ? Number(status) : undefined;
}

const INTERNAL = 13;
const UNKNOWN = 2;

const BY_HTTP: ReadonlyMap<number, number> = new Map([
  [400, INTERNAL],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);

/** The same, else the status that stands for the HTTP code (grpc: doc/http-grpc-status-mapping.md). */
export function grpcStatusOrMapped(info: StreamInfo): number {
  return grpcStatus(info) ?? BY_HTTP.get(info.responseCode) ?? UNKNOWN;
}

export function isGrpcType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:$|[+;])/.test(contentType);
}
