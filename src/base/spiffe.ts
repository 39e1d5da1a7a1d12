/** Whose certificate it is: a Kubernetes service account of a mesh. */
export interface SpiffeIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Names of Kubernetes objects, which is what Istio's paths are made of. */
const NAME = '[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?';
const ID = new RegExp(`^spiffe://(${NAME})/ns/(${NAME})/sa/(${NAME})$`);

/** `spiffe://cluster.local/ns/default/sa/reviews` (SPIFFE-ID, 2; the path is Istio's). */
export function spiffeId({ trustDomain, namespace, serviceAccount }: SpiffeIdentity): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

/** null for anything but an ID of Istio's form. */
export function parseSpiffeId(id: string): SpiffeIdentity | null {
  const [, trustDomain, namespace, serviceAccount] = ID.exec(id) ?? [];
  if (trustDomain === undefined || namespace === undefined || serviceAccount === undefined) return null;
  return { trustDomain, namespace, serviceAccount };
}

export function sameIdentity(a: SpiffeIdentity, b: SpiffeIdentity): boolean {
  return spiffeId(a) === spiffeId(b);
}
