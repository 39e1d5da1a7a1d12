/**
 * Leaves secrets out of configuration in JSON: what Envoy's protos mark as sensitive, and the values of headers that
 * carry credentials.
 */
const SENSITIVE: ReadonlySet<string> = new Set([
  'access_token',
  'authorization_token',
  'client_secret',
  'google_refresh_token',
  'hmac_secret',
  'json_key',
  'pass_phrase',
  'password',
  'pkcs12',
  'private_key',
  'secret_access_key',
  'session_ticket_keys',
  'session_token',
  'token_secret',
]);

/** Message types of which everything is secret. */
const SENSITIVE_TYPES = /\.(?:GenericSecret|BasicAuth|CredentialInjector|TlsSessionTicketKeys)$/;
const CREDENTIAL_HEADER = /^(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key|x-auth-token)$/i;

/** Where a secret lies is none. */
const PLACES: ReadonlySet<string> = new Set(['filename', 'environment_variable', '@type', 'name']);

export const REDACTED = '[redacted]';
/** For bytes fields, which are base64 in JSON. */
const REDACTED_BYTES = Buffer.from(REDACTED).toString('base64');

/** A copy without secrets; values that hold none are shared with the original. */
export function redact(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(redact);
  if (!isRecord(json)) return json;
  const type = json['@type'];
  if (typeof type === 'string' && SENSITIVE_TYPES.test(type)) return hide(json, '');
  const credential = typeof json.key === 'string' && CREDENTIAL_HEADER.test(json.key);
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    if (SENSITIVE.has(name) || name === 'generic_secret') out[name] = hide(value, name);
    else if (credential && (name === 'value' || name === 'raw_value')) out[name] = hide(value, name);
    else out[name] = redact(value);
  }
  return out;
}

/** Replaces every text inside. */
function hide(value: unknown, name: string): unknown {
  if (PLACES.has(name)) return value;
  if (typeof value === 'string') return name === 'inline_bytes' || name === 'raw_value' ? REDACTED_BYTES : REDACTED;
  if (Array.isArray(value)) return value.map((item) => hide(item, name));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hide(item, key)]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
