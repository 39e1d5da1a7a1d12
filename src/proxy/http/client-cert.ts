import type { ClientCertForwarding } from '../../model/http-connection-manager.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import type { TlsInfo } from '../telemetry/tls-info.ts';

const HEADER = 'x-forwarded-client-cert';

/** What the header says of a connection's client: the same for all its requests. */
const texts = new WeakMap<TlsInfo, { readonly forwarding: ClientCertForwarding; readonly text: string }>();

/**
 * Makes `x-forwarded-client-cert` what the connection manager says (Envoy: conn_manager_utility.cc
 * `mutateXfccRequestHeader`). `given`: the client sent one; `forwarding` undefined: SANITIZE; `tls` undefined: no TLS.
 */
export function applyClientCert(
  headers: Headers,
  given: boolean,
  forwarding: ClientCertForwarding | undefined,
  tls: TlsInfo | undefined,
): void {
  if (forwarding?.mode === 'ALWAYS_FORWARD_ONLY') return;
  if (forwarding === undefined || tls === undefined || tls.peer === null) {
    if (given) headers.remove(HEADER);
    return;
  }
  if (forwarding.mode === 'FORWARD_ONLY') return;
  const text = textOf(forwarding, tls);
  const before = given && forwarding.mode === 'APPEND_FORWARD' ? (headers.getJoined(HEADER) ?? '') : '';
  headers.set(HEADER, before === '' ? text : `${before},${text}`);
}

function textOf(forwarding: ClientCertForwarding, tls: TlsInfo): string {
  const known = texts.get(tls);
  if (known?.forwarding === forwarding) return known.text;
  const text = write(forwarding, tls);
  texts.set(tls, { forwarding, text });
  return text;
}

function write({ details }: ClientCertForwarding, { peer, local }: TlsInfo): string {
  if (peer === null) return '';
  const parts = (local?.uriSans ?? []).map((uri) => `By=${uri}`);
  parts.push(`Hash=${peer.fingerprint256}`);
  if (details.cert) parts.push(`Cert="${encodePem(peer.pem)}"`);
  if (details.chain) parts.push(`Chain="${encodePem(peer.chainPem)}"`);
  if (details.subject) parts.push(`Subject="${peer.subject}"`);
  if (details.uri) {
    // The key is there even without a name.
    if (peer.uriSans.length === 0) parts.push('URI=');
    for (const uri of peer.uriSans) parts.push(`URI=${uri}`);
  }
  if (details.dns) for (const dns of peer.dnsSans) parts.push(`DNS=${dns}`);
  return parts.map(withoutControls).join(';');
}

const ENCODED: Readonly<Record<string, string>> = {
  '\n': '%0A',
  ' ': '%20',
  '+': '%2B',
  '/': '%2F',
  '=': '%3D',
};

function encodePem(pem: string): string {
  return pem.replace(/[\n +/=]/g, (char) => ENCODED[char]!);
}

/** A certificate may hold any octet in a name; a header may not. */
function withoutControls(text: string): string {
  return text.replace(/\p{Cc}/gu, '');
}
