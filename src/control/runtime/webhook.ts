import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Watch } from '../../base/watch.ts';
import type { ServerPair } from '../ca/server-certificate.ts';
import type { InjectionSettings } from '../injector/settings.ts';
import { admitObject } from '../injector/validate.ts';
import {
  type AdmissionRequest,
  type AdmissionResponse,
  admitPod,
  readReview,
  writeReview,
} from '../injector/webhook.ts';
import type { ProxyConfig } from '../mesh/proxy-config.ts';
import type { ConfigState } from '../source/collection.ts';
import { mergeProxyConfig } from '../translate/istio/proxy-config.ts';

export interface WebhookOptions {
  readonly host: string;
  readonly port: number;
  /** Folder with `tls.crt` and `tls.key`, as a Secret is mounted, read again when they change; '' `material` has them. */
  readonly certificates: string;
  /** Asked for once, at the start. */
  readonly material?: () => Watch<ServerPair>;
  readonly settings: InjectionSettings;
  /** MeshConfig's defaultConfig as it is now, the same object until it changes; absent: there is none. */
  readonly proxyConfig?: () => ProxyConfig | null;
  readonly state: () => ConfigState;
  readonly clock: Clock;
  readonly log: Logger;
}

/** More than the API server sends: objects of at most 3 MiB, twice in an update. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** How often the certificate is looked at. A mounted Secret changes within a minute. */
const LOOK_MS = 5000;

/** As PEM. */
interface Pair {
  readonly cert: string;
  readonly key: string;
}

/**
 * What the API server asks before it takes an object (HTTPS, 15017): `/inject` for pods, `/validate` for config. It
 * listens as soon as there is a certificate, which may be later than its start.
 */
export class WebhookServer {
  readonly #options: WebhookOptions;
  #server: Server | null = null;
  #pair: Pair | null = null;
  #look: TimerHandle | null = null;
  #complaint = '';
  #closed = false;
  #unsubscribe: (() => void) | null = null;
  /** Settings of injection with the mesh's config in them, as long as that is the same. */
  #merged: { readonly config: ProxyConfig; readonly settings: InjectionSettings } | null = null;

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  /** 0 while there is no certificate. */
  get port(): number {
    const address = this.#server?.address() ?? null;
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Resolves when it listens, or waits for its certificate; rejects when it cannot listen. */
  async start(): Promise<void> {
    const material = this.#options.certificates === '' ? this.#options.material?.() : undefined;
    if (material === undefined) {
      await this.refresh();
      this.#schedule();
      return;
    }
    await this.#take(material.value);
    this.#unsubscribe = material.subscribe((pair) => void this.#take(pair));
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#look?.cancel();
    this.#unsubscribe?.();
    const server = this.#server;
    if (server === null) return Promise.resolve();
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#look = this.#options.clock.after(LOOK_MS, () => {
      void this.refresh()
        .catch((error) => this.#complain(messageOf(error)))
        .then(() => this.#schedule());
    });
  }

  /** Takes a new certificate into use; the last good one stays where the new one is broken. */
  async refresh(): Promise<void> {
    const { certificates } = this.#options;
    let pair: Pair;
    try {
      const read = (name: string): string => readFileSync(join(certificates, name), 'utf8');
      pair = { cert: read('tls.crt'), key: read('tls.key') };
      if (pair.cert === this.#pair?.cert && pair.key === this.#pair.key) return;
      // Certificate and key change one after the other, and may not fit for a moment.
      createSecureContext(pair);
    } catch (error) {
      const missing = errorCode(error) === 'ENOENT';
      this.#complain(`${certificates}: ${missing ? 'no tls.crt and tls.key yet' : messageOf(error)}`);
      return;
    }
    this.#complaint = '';
    await this.#take(pair);
  }

  async #take({ cert, key }: Pair): Promise<void> {
    if (this.#server === null) await this.#listen({ cert, key });
    else this.#server.setSecureContext({ cert, key });
    if (this.#pair !== null) this.#options.log.info('the certificate of the webhook was renewed');
    this.#pair = { cert, key };
  }

  async #listen(pair: Pair): Promise<void> {
    const { host, port, log } = this.#options;
    const server = createServer({ ...pair, minVersion: 'TLSv1.2' }, (request, response) => {
      this.#answer(request, response).catch((error) => {
        log.error('webhook request failed', { error: messageOf(error) });
        response.destroy();
      });
    });
    server.headersTimeout = 10_000;
    server.requestTimeout = 30_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        const message = `cannot listen on ${host}:${port} for the webhook: ${messageOf(error)}`;
        reject(new RemoraError('webhook_bind', message, { source: 'user', cause: error }));
      });
      server.listen(port, host, resolve);
    });
    this.#server = server;
    log.info('webhook', { address: `${host}:${this.port}` });
  }

  /** Once for each thing that is wrong. */
  #complain(what: string): void {
    if (what === this.#complaint) return;
    this.#complaint = what;
    this.#options.log.warn(`webhook: ${what}`);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'https://control').pathname;
    if (path === '/ready') return send(response, 200, 'LIVE\n');
    const admit = path === '/inject' ? this.#inject : path === '/validate' ? this.#validate : null;
    if (admit === null) return send(response, 404, 'there is /inject /validate /ready\n');
    if (request.method !== 'POST') return send(response, 405, 'only POST\n');
    const body = await bodyOf(request);
    if (body === null) return send(response, 413, `more than ${MAX_BODY_BYTES} bytes\n`);
    const review = readReview(body);
    if (typeof review === 'string') return send(response, 400, `${review}\n`);
    const answer = admit(review);
    if (!answer.allowed) this.#options.log.info('refused', { path, message: answer.status?.message ?? '' });
    return send(response, 200, JSON.stringify(writeReview(answer)), 'application/json');
  }

  readonly #inject = (request: AdmissionRequest): AdmissionResponse => {
    const { state } = this.#options;
    const { object, namespace: given } = request;
    const own = (object.metadata as { namespace?: unknown } | null | undefined)?.namespace;
    const name = typeof own === 'string' && own !== '' ? own : given;
    const known = state().objects.find(
      (one) => one.kind === 'Namespace' && one.apiVersion === 'v1' && one.name === name,
    );
    return admitPod(request, this.#settings(), known?.labels ?? null);
  };

  /** With what the mesh's config says now. */
  #settings(): InjectionSettings {
    const { settings, proxyConfig } = this.#options;
    const config = proxyConfig?.() ?? null;
    if (config === null) return settings;
    if (this.#merged?.config !== config)
      this.#merged = { config, settings: { ...settings, proxyConfig: mergeProxyConfig(settings.proxyConfig, config) } };
    return this.#merged.settings;
  }

  readonly #validate = (request: AdmissionRequest): AdmissionResponse => admitObject(request, this.#options.state());
}

/** Null when it is too large. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function send(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  const close = status === 413 ? { connection: 'close' } : {};
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), ...close });
  response.end(body);
}
