import { describe, expect, it } from 'vitest';
import { readObjects } from '../../../../../src/control/source/files/yaml.ts';
import { DecodedStore } from '../../../../../src/control/translate/decode.ts';
import type { Decoded } from '../../../../../src/control/translate/decoded.ts';
import { gatewaySecrets } from '../../../../../src/control/translate/kubernetes/secret.ts';
import { key, pem } from '../../../../support/certs/index.ts';

function read(data: Readonly<Record<string, string>>) {
  const encoded = Object.entries(data).map(([name, text]) => [name, Buffer.from(text).toString('base64')]);
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'cert', namespace: 'edge' },
    data: Object.fromEntries(encoded),
  };
  const { objects } = readObjects(JSON.stringify(secret), 'secret.yaml');
  const decoded = new DecodedStore().update(objects);
  const secrets = gatewaySecrets(decoded.objects as Decoded<'Secret'>[]);
  return { secret: secrets.get('edge/cert'), messages: decoded.findings.map(({ message }) => message) };
}

describe('gatewaySecrets', () => {
  it.each([
    ['kubernetes.io/tls', 'tls.crt', 'tls.key', 'ca.crt'],
    ['generic', 'cert', 'key', 'cacert'],
  ])('%s', (_, certificate, keyName, roots) => {
    const { secret, messages } = read({
      [certificate]: pem('server'),
      [keyName]: key('server'),
      [roots]: pem('root-a'),
    });
    expect(messages).toEqual([]);
    expect(secret?.certificate?.toString()).toBe(pem('server'));
    expect(secret?.key?.reveal().toString()).toBe(key('server'));
    expect(secret?.roots?.toString()).toBe(pem('root-a'));
  });
  it('roots alone are a Secret for clients', () => {
    const { secret } = read({ cacert: pem('root-a') });
    expect(secret).toMatchObject({ certificate: null, key: null });
  });
  it('a key is not seen by whoever prints it', () =>
    expect(JSON.stringify(read({ 'tls.crt': pem('server'), 'tls.key': key('server') }).secret)).not.toContain(
      key('server').split('\n')[1],
    ));
  it.each([
    ['a key of another', { 'tls.crt': pem('server'), 'tls.key': key('server-2') }, 'tls.key is not the key of'],
    ['a certificate alone', { 'tls.crt': pem('server') }, 'tls.key is missing'],
    ['a key alone', { 'tls.key': key('server') }, 'tls.crt is missing'],
    ['no certificate', { 'tls.crt': 'hello', 'tls.key': key('server') }, 'tls.crt holds no PEM certificate'],
    ['no key', { 'tls.crt': pem('server'), 'tls.key': 'hello' }, 'tls.key holds no PEM private key'],
    ['an encrypted key', { 'tls.crt': pem('server'), 'tls.key': key('server-encrypted') }, 'tls.key '],
    ['no roots', { 'ca.crt': 'hello' }, 'ca.crt holds no PEM certificate'],
  ])('%s is said, and nobody gets it', (_, data, message) => {
    const { secret, messages } = read(data as Record<string, string>);
    expect(secret).toBeUndefined();
    expect(messages).toHaveLength(1);
    expect(messages[0]).toContain(message);
    expect(messages[0]).not.toContain('hello');
  });
  it('a Secret of something else is nobody’s business', () =>
    expect(read({ password: 'hello' })).toMatchObject({
      secret: { certificate: null, key: null, roots: null },
      messages: [],
    }));
});
