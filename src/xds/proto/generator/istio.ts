import type protobuf from 'protobufjs';

/**
 * Messages of Istio's own that no npm package carries: their names, numbers and types, which are the protocol itself
 * (istio/istio pkg/dns/proto/nds.proto, istio/api security/v1alpha1/ca.proto). Only what is sent by released versions.
 */
export const ISTIO: protobuf.INamespace = {
  nested: {
    istio: {
      nested: {
        networking: { nested: { nds: { nested: { v1: { nested: nds() } } } } },
        v1: { nested: { auth: { nested: auth() } } },
      },
    },
  },
};

/** Istio's certificate service: a CSR as PEM, and a chain as PEM, leaf first, the roots in its last element. */
function auth(): NonNullable<protobuf.INamespace['nested']> {
  return {
    IstioCertificateRequest: {
      fields: {
        csr: { id: 1, type: 'string' },
        validity_duration: { id: 3, type: 'int64' },
        metadata: { id: 4, type: 'google.protobuf.Struct' },
      },
    },
    IstioCertificateResponse: { fields: { cert_chain: { id: 1, type: 'string', rule: 'repeated' } } },
  };
}

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
