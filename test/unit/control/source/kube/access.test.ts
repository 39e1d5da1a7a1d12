import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inClusterAccess, kubeconfigAccess } from '../../../../../src/control/source/kube/access.ts';

const folder = mkdtempSync(join(tmpdir(), 'remora-access-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
function kubeconfig(user: string, cluster = 'server: https://127.0.0.1:6443'): string {
  const file = join(folder, `config-${++count}.yaml`);
  writeFileSync(
    file,
    `current-context: here
contexts: [{name: here, context: {cluster: c, user: u, namespace: shop}}, {name: bad, context: {cluster: nope}}]
clusters: [{name: c, cluster: {${cluster}}}]
users: [{name: u, user: {${user}}}]
`,
  );
  return file;
}

describe('a kubeconfig', () => {
  it('gives server, namespace, inline certificates and token', () => {
    const pem = (text: string) => Buffer.from(text).toString('base64');
    const file = kubeconfig(
      `client-certificate-data: ${pem('CERT')}, client-key-data: ${pem('KEY')}, token: secret`,
      `server: 'https://kube:6443/clusters/one', certificate-authority-data: ${pem('CA')}, tls-server-name: other`,
    );
    const access = kubeconfigAccess(file);
    expect(access.server.href).toBe('https://kube:6443/clusters/one');
    expect([access.ca, access.cert, access.key, access.token].map((one) => one?.read())).toEqual([
      'CA',
      'CERT',
      'KEY',
      'secret',
    ]);
    expect(access).toMatchObject({ namespace: 'shop', serverName: 'other', insecure: false });
  });

  it('reads files beside it, and again when they change', () => {
    writeFileSync(join(folder, 'token'), 'one\n');
    const { token } = kubeconfigAccess(kubeconfig('tokenFile: token'));
    expect(token?.read()).toBe('one');
    writeFileSync(join(folder, 'token'), 'two\n');
    utimesSync(join(folder, 'token'), 1, 1);
    expect(token?.read()).toBe('two');
  });

  it.each([
    ['exec: {command: aws}', 'users[0].user.exec is not supported: write a token'],
    ['auth-provider: {name: gcp}', 'users[0].user.auth-provider is not supported'],
    ['client-certificate-data: QQ==', 'has only one of client-certificate and client-key'],
    ['tokenFile: nowhere', `cannot be read: no such file as ${join(folder, 'nowhere')}`],
  ])('refuses %s, and says what to do', (user, message) => {
    expect(() => kubeconfigAccess(kubeconfig(user))).toThrow(message);
  });

  it('names what is missing', () => {
    expect(() => kubeconfigAccess(join(folder, 'nowhere'))).toThrow('nowhere cannot be read: no such file');
    expect(() => kubeconfigAccess(kubeconfig(''), 'other')).toThrow('contexts has no entry "other"');
    expect(() => kubeconfigAccess(kubeconfig(''), 'bad')).toThrow('clusters has no entry "nope"');
    expect(() => kubeconfigAccess(kubeconfig('', 'server: "ftp://x"'))).toThrow('is not an http or https URL');
  });
});

describe('in a cluster', () => {
  it('the service account says who asks', () => {
    for (const name of ['token', 'ca.crt', 'namespace']) writeFileSync(join(folder, name), `${name}-text\n`);
    const access = inClusterAccess('fd00::1', '443', folder);
    expect(access.server.href).toBe('https://[fd00::1]/');
    expect([access.token?.read(), access.ca?.read(), access.namespace]).toEqual([
      'token-text',
      'ca.crt-text',
      'namespace-text',
    ]);
  });
  it('says so where there is none', () => {
    expect(() => inClusterAccess('', '')).toThrow('not in a cluster');
    expect(() => inClusterAccess('10.0.0.1', '443', join(folder, 'none'))).toThrow(
      'the service account cannot be read',
    );
  });

  it('that cannot be read are said in one line, without their text', () => {
    const path = join(folder, 'broken.conf');
    writeFileSync(path, 'token: [SECRET\n');
    expect(() => kubeconfigAccess(path)).toThrow(/cannot be read: [^\n]*$/);
    expect(() => kubeconfigAccess(path)).not.toThrow(/SECRET/);
    expect(() => kubeconfigAccess(join(folder, 'none'))).toThrow(/none cannot be read: no such file$/);
  });
});
