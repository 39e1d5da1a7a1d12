import { PemError } from '../../base/pem.ts';
import type { DownstreamTlsConfig, TlsData } from '../../model/tls.ts';
import { buildContext, type TlsContext } from './context.ts';
import type { TlsContexts } from './contexts.ts';
import { readTlsData } from './load.ts';
import type { TlsMaterial } from './material.ts';

/** Makes the context of a filter chain. */
export function buildServerContext(
  config: DownstreamTlsConfig,
  material: TlsMaterial,
  ticketKeys: Buffer,
  now: () => number,
): TlsContext {
  const { constants } = process.getBuiltinModule('node:crypto');
  const build = (tickets: boolean): TlsContext =>
    buildContext(
      config.common,
      material,
      {
        ticketKeys,
        sessionIdContext: sessionIdContext(config, material),
        sessionTimeout: config.sessionTimeoutS,
        // A client of TLS 1.2 that shakes hands again could be another one than it was let in as; Envoy refuses it too.
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (tickets ? 0 : constants.SSL_OP_NO_TICKET),
      },
      now,
      config.fullScan ? 'any' : 'first',
    );
  const context = build(config.tickets);
  // A resumed session brings no chain along: what has to be read again cannot be resumed.
  return config.tickets && context.validator?.readsChain === true ? build(false) : context;
}

/**
 * Sessions of one context must not be resumed in another that would verify otherwise (Envoy: generateHashForSessionContextId).
 * A renewed certificate of the same names changes nothing, other roots do.
 */
function sessionIdContext(config: DownstreamTlsConfig, { certificates, validation }: TlsMaterial): string {
  const { hash } = process.getBuiltinModule('node:crypto');
  const {
    trustedCa: _,
    crl: __,
    trustDomains,
    ...rest
  } = validation?.config ?? {
    trustedCa: null,
    crl: null,
    trustDomains: null,
  };
  const parts = [
    config.requireClientCertificate,
    certificates.map(({ leaf }) => [leaf.subject, leaf.facts.sans]),
    validation?.roots.map(({ fingerprint256 }) => fingerprint256),
    validation?.crls,
    trustDomains?.map(({ name }) => name),
    rest,
  ];
  return hash('sha256', JSON.stringify(parts), 'hex').slice(0, 32);
}

/** What Node takes: 16 bytes name, 16 bytes HMAC key, 16 bytes AES key. */
const TICKET_KEY_BYTES = 48;

/** The keys that make session tickets of one context: given ones, or the process's own. */
export class TicketKeys {
  readonly #config: DownstreamTlsConfig['ticketKeys'];
  readonly #contexts: TlsContexts;
  readonly #own: Buffer;
  #unsubscribe: () => void = () => {};

  constructor(config: DownstreamTlsConfig, contexts: TlsContexts) {
    this.#config = config.ticketKeys;
    this.#contexts = contexts;
    // Derived, so that workers with one seed resume each other's sessions.
    const { hkdfSync } = process.getBuiltinModule('node:crypto');
    this.#own = Buffer.from(hkdfSync('sha256', contexts.ticketSeed, '', 'remora tickets', TICKET_KEY_BYTES));
  }

  onChange(changed: () => void): void {
    if (this.#config?.kind === 'secret') this.#unsubscribe = this.#contexts.secrets.subscribe(this.#config, changed);
  }

  current(): Buffer {
    const first = this.#given()[0];
    if (first === undefined) return this.#own;
    const bytes = readTlsData(first);
    if (bytes.length !== 80) throw new PemError(`the session ticket key is ${bytes.length} bytes long: it has 80`);
    // Envoy's: 16 bytes name, 32 bytes HMAC key, 32 bytes AES key.
    return Buffer.concat([bytes.subarray(0, 16), bytes.subarray(16, 32), bytes.subarray(48, 64)]);
  }

  close(): void {
    this.#unsubscribe();
  }

  #given(): readonly TlsData[] {
    if (this.#config === null) return [];
    if (this.#config.kind === 'given') return this.#config.keys;
    const secret = this.#contexts.secrets.get(this.#config);
    return secret?.kind === 'session_ticket_keys' ? secret.keys : [];
  }
}
