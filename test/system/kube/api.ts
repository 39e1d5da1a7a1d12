import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const HERE = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

/** A real API server over a real etcd, and nothing behind it: no controllers, no nodes. */
export interface KubeApi {
  readonly folder: string;
  readonly kubeconfig: string;
  readonly url: string;
  /** Folder of programs and CRDs that build.sh made. */
  readonly cache: string;
  readonly caFile: string;
  /** Runs kubectl as an administrator; gives its output, throws with what it said. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  apply(yaml: string): Promise<string>;
  /** Istio's and Remora's kinds. */
  installCrds(): Promise<void>;
  /** A kubeconfig for another user of tokens.csv. */
  kubeconfigOf(token: string): string;
  stopServer(): Promise<void>;
  startServer(): Promise<void>;
  /** SIGSTOP and SIGCONT: connections stay open and say nothing. */
  freeze(on: boolean): void;
  readonly pids: readonly number[];
  close(): Promise<void>;
}

export const ADMIN_TOKEN = 'admintoken';
/** A user who may do nothing until RBAC lets them. */
export const NOBODY_TOKEN = 'nobodytoken';

/** Ready in three seconds on idle cores. */
export async function startKubeApi(): Promise<KubeApi> {
  const { stdout } = await run(join(HERE, 'build.sh'), [], { maxBuffer: 1 << 20 });
  const cache = stdout.trim().split('\n').at(-1) ?? '';
  const folder = mkdtempSync(join(tmpdir(), 'remora-kube-'));
  const [client, peer, port] = [await freePort(), await freePort(), await freePort()];
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const privateKey = join(folder, 'sa.key');
  const publicKey = join(folder, 'sa.pub');
  writeFileSync(privateKey, key.privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
  writeFileSync(publicKey, key.publicKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(
    join(folder, 'tokens.csv'),
    `${ADMIN_TOKEN},admin,admin,"system:masters"\n${NOBODY_TOKEN},nobody,nobody\n`,
    { mode: 0o600 },
  );
  mkdirSync(join(folder, 'certs'));
  const caFile = join(folder, 'certs', 'apiserver.crt');
  const etcdUrl = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const etcd = start(folder, 'etcd', 'etcd', [
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    '--unsafe-no-fsync',
    '--logger=zap',
    '--log-level=warn',
  ]);
  const serve = () =>
    start(folder, 'kube-apiserver', join(cache, 'bin', 'kube-apiserver'), [
      `--etcd-servers=${etcdUrl}`,
      `--secure-port=${port}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      // The API refuses loopback addresses, so it must not write its own.
      '--endpoint-reconciler-type=none',
      `--cert-dir=${join(folder, 'certs')}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${publicKey}`,
      `--service-account-signing-key-file=${privateKey}`,
      `--token-auth-file=${join(folder, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112',
      // No controller makes service accounts here.
      '--disable-admission-plugins=ServiceAccount',
    ]);
  let server = serve();
  const url = `https://127.0.0.1:${port}`;
  const kubeconfigOf = (token: string): string => {
    const file = join(folder, `${token}.conf`);
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority': 'certs/apiserver.crt' } }],
      users: [{ name: 'user', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'user' } }],
      'current-context': 'test',
    };
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  };
  const kubeconfig = kubeconfigOf(ADMIN_TOKEN);
  const kubectl = (args: readonly string[], input = ''): Promise<string> =>
    new Promise((resolve, reject) => {
      const child = spawn(join(cache, 'bin', 'kubectl'), ['--kubeconfig', kubeconfig, ...args], { cwd: folder });
      let out = '';
      let err = '';
      child.stdout.on('data', (chunk) => {
        out += chunk;
      });
      child.stderr.on('data', (chunk) => {
        err += chunk;
      });
      child.on('error', reject);
      child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(`kubectl ${args.join(' ')}: ${err}`))));
      child.stdin.end(input);
    });
  const ready = async (): Promise<void> => {
    const end = Date.now() + 90_000;
    while (!(await isReady(url, caFile))) {
      for (const one of [etcd, server]) {
        if (one.exitCode !== null)
          throw new Error(`ended: ${readFileSync(join(folder, 'kube-apiserver.log'), 'utf8').slice(-2000)}`);
      }
      if (Date.now() > end) throw new Error(`the API server is not ready: see ${folder}/kube-apiserver.log`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const api: KubeApi = {
    folder,
    kubeconfig,
    url,
    cache,
    caFile,
    kubectl,
    kubeconfigOf,
    apply: (yaml) => kubectl(['apply', '--server-side', '-f', '-'], yaml),
    async installCrds() {
      const ours = join(HERE, '../../../deploy/crds');
      await kubectl(['apply', '--server-side', '-f', join(cache, 'istio-crds.yaml'), '-f', ours]);
      await kubectl(['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all']);
    },
    stopServer: () => end(server),
    async startServer() {
      server = serve();
      await ready();
    },
    freeze(on) {
      server.kill(on ? 'SIGSTOP' : 'SIGCONT');
    },
    get pids() {
      return [etcd.pid ?? 0, server.pid ?? 0];
    },
    async close() {
      server.kill('SIGCONT');
      await end(server);
      await end(etcd);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await ready();
  } catch (error) {
    await api.close();
    throw error;
  }
  return api;
}

function start(folder: string, name: string, command: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(folder, `${name}.log`), 'a');
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', log, log] });
  child.on('error', () => {});
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const over = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await over;
  clearTimeout(timer);
}

function isReady(url: string, caFile: string): Promise<boolean> {
  let ca: string;
  try {
    ca = readFileSync(caFile, 'utf8');
  } catch {
    return Promise.resolve(false);
  }
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const asked = request(`${url}/readyz`, { ca, headers, timeout: 1000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on('error', () => resolve(false));
    asked.on('timeout', () => asked.destroy(new Error('timeout')));
    asked.end();
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
