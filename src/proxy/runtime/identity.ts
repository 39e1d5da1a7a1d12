import { connect } from 'node:net';
import { readBoundedFile } from '../../base/bounded-file.ts';
import { messageOf } from '../../base/errors.ts';
import { type SpiffeIdentity, spiffeId } from '../../base/spiffe.ts';
import { type TlsSecret, trustIn, type UpstreamTlsConfig } from '../../model/tls.ts';
import { createCertificate } from '../../xds/client/ca-client.ts';
import type { Dial, Dialled } from '../../xds/client/dial.ts';
import { parseTarget } from '../../xds/client/grpc-transport.ts';
import { IdentityFile } from '../identity/identity-file.ts';
import { WorkloadIdentity } from '../identity/workload-identity.ts';
import { UpstreamTls } from '../upstream/tls.ts';
import type { ProxyEnvironment } from './environment.ts';

/** Where a server of the control plane is, and whether it is spoken to by TLS. */
export interface SecureTarget {
  /** `host:port` */
  readonly address: string;
  readonly secure: boolean;
}

/** Who the proxy is, and who certifies that. */
export interface IdentitySettings {
  readonly id: SpiffeIdentity;
  readonly ca: SecureTarget;
  /** The control server's xDS; by TLS it is proved there too who calls. */
  readonly control: SecureTarget;
  /** File of a bearer token, read anew for each call; '' none. */
  readonly tokenPath: string;
  /** File of the roots that the control plane is verified against; '' none. */
  readonly rootsPath: string;
  /** File that keeps certificate and key for a start while the CA is away; '' none. */
  readonly keptPath: string;
  /** Life of a certificate that is asked for, in seconds; 0: what the CA gives. */
  readonly ttlS: number;
}

const CONNECT_MS = 5_000;
/** Of files that the kubelet mounts: a token of a service account, the mesh's roots. */
const MAX_TOKEN_BYTES = 64 * 1024;
const MAX_ROOTS_BYTES = 1024 * 1024;

/** The identity of a proxy put together: its certificates, and the way to those who ask for proof of it. */
export class ProxyIdentity {
  readonly #settings: IdentitySettings;
  readonly #env: ProxyEnvironment;
  readonly workload: WorkloadIdentity;
  /** By host, and whether our certificate is shown. */
  readonly #contexts = new Map<string, UpstreamTls>();
  readonly #unwatch: () => void;

  constructor(
    settings: IdentitySettings,
    env: ProxyEnvironment,
    publish: (secrets: ReadonlyMap<string, TlsSecret>) => void,
  ) {
    this.#settings = settings;
    this.#env = env;
    const { rootsPath, keptPath } = settings;
    const log = env.log.child('identity');
    this.workload = new WorkloadIdentity({
      id: settings.id,
      certify: (csr) => this.#certify(csr),
      moreRoots: () => (rootsPath === '' ? '' : readBoundedFile(rootsPath, MAX_ROOTS_BYTES).toString()),
      publish,
      file: keptPath === '' ? null : new IdentityFile(keptPath, log),
      clock: env.clock,
      random: env.random,
      log,
    });
    this.#unwatch = rootsPath === '' ? () => {} : env.tls.files.watch([rootsPath], [], this.workload.refreshRoots);
  }

  get principal(): string {
    return spiffeId(this.#settings.id);
  }

  /** How ADS is connected to; undefined: as anybody does, in plain text. */
  get adsDial(): Dial | undefined {
    const { control } = this.#settings;
    return control.secure ? (target, ready, failed) => this.#dial(target, true, true, ready, failed) : undefined;
  }

  start(): void {
    this.workload.start();
  }

  close(): void {
    this.workload.close();
    this.#unwatch();
    for (const tls of this.#contexts.values()) tls.close();
  }

  async #certify(csr: string): Promise<readonly string[]> {
    const { ca, ttlS } = this.#settings;
    const connection = await new Promise<Dialled>((resolve, reject) => {
      // A token is asked for anew; a certificate would renew itself for ever.
      this.#dial(ca.address, ca.secure, this.#settings.tokenPath === '', resolve, reject);
    });
    const { authority } = parseTarget(ca.address);
    return createCertificate({ connection, authority, clock: this.#env.clock, csr, validityS: ttlS });
  }

  /** `shows`: its certificate proves who it is, once there is one: config comes while tokens cannot be reviewed. */
  #dial(
    target: string,
    secure: boolean,
    shows: boolean,
    ready: (one: Dialled) => void,
    failed: (error: Error) => void,
  ): () => void {
    const address = parseTarget(target);
    const host = 'host' in address ? address.host : '';
    const certified = secure && shows && this.workload.status.notAfter > this.#env.clock.wall();
    let metadata: Dialled['metadata'];
    try {
      metadata = this.#credentials(secure || isLoopback(host));
    } catch (error) {
      if (certified) metadata = [];
      else {
        queueMicrotask(() => failed(new Error(`the token cannot be read: ${messageOf(error)}`)));
        return () => {};
      }
    }
    const socket =
      'path' in address
        ? connect({ path: address.path })
        : secure
          ? this.#tlsOf(host, certified).connect({ host, port: address.port, noDelay: true }, target, {
              sni: host,
              san: host,
            })
          : connect({ host, port: address.port, noDelay: true });
    const timer = this.#env.clock.after(CONNECT_MS, () =>
      socket.destroy(new Error(`no connection within ${CONNECT_MS / 1000} s`)),
    );
    const fail = (error: Error): void => {
      timer.cancel();
      failed(error);
    };
    socket.once('error', fail);
    // Nothing is written before the other end has been verified: the token is for it alone.
    socket.once(secure && 'encrypted' in socket ? 'secureConnect' : 'connect', () => {
      timer.cancel();
      if (socket.destroyed) return;
      socket.off('error', fail);
      ready({ socket, secure, metadata });
    });
    return () => {
      timer.cancel();
      socket.off('error', fail);
      socket.on('error', () => {});
      socket.destroy();
    };
  }

  #credentials(confidential: boolean): Dialled['metadata'] {
    const { tokenPath } = this.#settings;
    if (tokenPath === '' || !confidential) return [];
    return [['authorization', `Bearer ${readBoundedFile(tokenPath, MAX_TOKEN_BYTES).toString().trim()}`]];
  }

  #tlsOf(host: string, certified: boolean): UpstreamTls {
    const name = `${host} ${certified}`;
    let tls = this.#contexts.get(name);
    if (tls === undefined) {
      const config = configFor(host, this.#settings.rootsPath, certified);
      tls = new UpstreamTls(config, `control plane ${host}`, this.#env.tls);
      this.#contexts.set(name, tls);
    }
    return tls;
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function configFor(host: string, rootsPath: string, certified: boolean): UpstreamTlsConfig {
  return {
    common: {
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      ciphers: ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'],
      curves: ['X25519', 'P-256'],
      signatureAlgorithms: [],
      certificates: certified ? [{ kind: 'secret', name: 'default', from: 'agent' }] : [],
      validation: { given: trustIn({ kind: 'file', path: rootsPath }), secret: null },
      alpn: ['h2'],
    },
    sni: host,
    maxSessionKeys: 0,
  };
}
