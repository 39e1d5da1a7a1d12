import type protobuf from 'protobufjs';

/**
 * Messages of Istio's own that no npm package carries: their names, numbers and types, which are the protocol itself
 * (istio/istio pkg/dns/proto/nds.proto). Only what is sent by released versions.
 */
export const ISTIO: protobuf.INamespace = {
  nested: {
    istio: { nested: { networking: { nested: { nds: { nested: { v1: { nested: nds() } } } } } } },
  },
};

/** Name discovery: hosts and their addresses, for the DNS proxy beside a sidecar. */
function nds(): NonNullable<protobuf.INamespace['nested']> {
  const string = (id: number, repeated = false) => ({ id, type: 'string', ...(repeated ? { rule: 'repeated' } : {}) });
  const NameInfo = {
    fields: {
      ips: string(1, true),
      registry: string(2),
      shortname: string(3),
      namespace: string(4),
      alt_hosts: string(5, true),
    },
  };
  const table: protobuf.IMapField = { id: 1, keyType: 'string', type: 'NameInfo' };
  return { NameTable: { fields: { table }, nested: { NameInfo } } };
}
