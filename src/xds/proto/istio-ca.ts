import { type MessageType, type } from './message-type.ts';

/**
 * Istio's certificate service (istio.io/api security/v1alpha1/ca.proto, package istio.v1.auth), described here by hand:
 * two messages of four fields in all, and no registry package of npm carries the proto.
 */
export interface IstioCertificateRequest {
  /** PEM. */
  csr?: string | undefined;
  /** Seconds. */
  validity_duration?: number | undefined;
  metadata?: { [key: string]: unknown } | undefined;
}
export const IstioCertificateRequest: MessageType<IstioCertificateRequest> = /*#__PURE__*/ type(
  'istio.v1.auth.IstioCertificateRequest',
);

export interface IstioCertificateResponse {
  /** PEM: the leaf first, the roots last, all of them in the last element. */
  cert_chain?: string[] | undefined;
}
export const IstioCertificateResponse: MessageType<IstioCertificateResponse> = /*#__PURE__*/ type(
  'istio.v1.auth.IstioCertificateResponse',
);

export const CREATE_CERTIFICATE = '/istio.v1.auth.IstioCertificateService/CreateCertificate';

/** As the rows of gen/tables.ts. */
export const ISTIO_CA_TABLE: readonly [string, string] = [
  'istio.v1.auth',
  'IstioCertificateRequest\t[[[1,"csr",9],[3,"validity_duration",3],[4,"metadata",33]]]\n' +
    'IstioCertificateResponse\t[[[1,"cert_chain",9,0,1]]]',
];
