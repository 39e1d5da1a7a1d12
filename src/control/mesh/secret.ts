import type { SecretBytes } from '../../base/secret-bytes.ts';

/** What a gateway shows its clients, and whom of them it trusts: of one Secret. */
export interface GatewaySecret {
  readonly namespace: string;
  readonly name: string;
  /** PEM, leaf first; null: it holds only roots, or nothing that a gateway needs. */
  readonly certificate: Buffer | null;
  readonly key: SecretBytes | null;
  /** PEM of the roots that clients' certificates must lead to; null none. */
  readonly roots: Buffer | null;
}
