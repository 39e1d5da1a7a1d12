import type { HeaderValueOption } from '../../../xds/proto/gen/envoy/config/core/v3.ts';
import type { HeaderOperation, HeaderOperations } from '../../mesh/route-rule.ts';
import { compareText } from '../names.ts';

export interface HeaderFields {
  request_headers_to_add?: HeaderValueOption[] | undefined;
  request_headers_to_remove?: string[] | undefined;
  response_headers_to_add?: HeaderValueOption[] | undefined;
  response_headers_to_remove?: string[] | undefined;
}

/**
 * What proxies tell each other, and strangers are not to see (pains row 20). Our own proxies are told not to write
 * the `x-envoy-` ones at all; others in the mesh may have.
 */
export const MESH_REQUEST_HEADERS = [
  'x-envoy-attempt-count',
  'x-envoy-decorator-operation',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-original-path',
  'x-envoy-peer-metadata',
  'x-envoy-peer-metadata-id',
  'x-forwarded-client-cert',
];
export const MESH_RESPONSE_HEADERS = [
  'x-envoy-attempt-count',
  'x-envoy-decorator-operation',
  'x-envoy-peer-metadata',
  'x-envoy-peer-metadata-id',
  'x-envoy-upstream-service-time',
];

/** The operations of one level after the other; a later `set` wins. The authority among them is not a header. */
export function headerFields(...levels: readonly (HeaderOperations | null)[]): HeaderFields {
  const given = levels.filter((level) => level !== null);
  const fields: HeaderFields = {};
  const requestAdd = given.flatMap(({ request }) => additions(request));
  const requestRemove = given.flatMap(({ request }) => request.remove);
  const responseAdd = given.flatMap(({ response }) => additions(response));
  const responseRemove = given.flatMap(({ response }) => response.remove);
  if (requestAdd.length > 0) fields.request_headers_to_add = requestAdd;
  if (requestRemove.length > 0) fields.request_headers_to_remove = requestRemove;
  if (responseAdd.length > 0) fields.response_headers_to_add = responseAdd;
  if (responseRemove.length > 0) fields.response_headers_to_remove = responseRemove;
  return fields;
}

/** The Host that the operations set; '' none. */
export function authorityOf(operations: HeaderOperations | null): string {
  return operations?.request.set[':authority'] ?? '';
}

/** Takes the mesh's own headers off what leaves it. */
export function withoutMeshHeaders<T extends HeaderFields>(fields: T): T {
  return {
    ...fields,
    request_headers_to_remove: [...new Set([...(fields.request_headers_to_remove ?? []), ...MESH_REQUEST_HEADERS])],
  };
}

function additions({ set, add }: HeaderOperation): HeaderValueOption[] {
  return [...options(set, 'OVERWRITE_IF_EXISTS_OR_ADD'), ...options(add, 'APPEND_IF_EXISTS_OR_ADD')];
}

function options(
  headers: Readonly<Record<string, string>>,
  append_action: NonNullable<HeaderValueOption['append_action']>,
): HeaderValueOption[] {
  return Object.entries(headers)
    .filter(([key]) => !key.startsWith(':'))
    .sort(([a], [b]) => compareText(a, b))
    .map(([key, value]) => ({ header: { key, value }, append_action }));
}
