import { createPublicKey } from 'node:crypto';
import { expect, it } from 'vitest';
import { readCsr } from '../../../../src/control/ca/csr.ts';
import { certificateRequest } from '../../../../src/proxy/identity/certificate-request.ts';

it('a request is signed by its own new key, P-256, and names the workload', async () => {
  const uri = 'spiffe://cluster.local/ns/shop/sa/reviews';
  const [a, b] = await Promise.all([
    certificateRequest(uri, 'cluster.local'),
    certificateRequest(uri, 'cluster.local'),
  ]);
  const read = readCsr(a.csr);
  expect(read.uris).toEqual([uri]);
  expect(read.key.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  expect(createPublicKey(a.key).equals(read.key)).toBe(true);
  expect(createPublicKey(b.key).equals(read.key)).toBe(false);
});
