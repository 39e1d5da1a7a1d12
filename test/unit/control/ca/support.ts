import { createPublicKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { Der } from '../../../../src/base/der.ts';
import {
  DER_NULL,
  derBits,
  derElement,
  derObjectId,
  derOctets,
  derSequence,
  derUnsigned,
} from '../../../../src/base/der-writer.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import type { AuthorityOptions } from '../../../../src/control/ca/authority.ts';
import { pemOf } from '../../../../src/control/ca/issue.ts';
import type { CaFiles } from '../../../../src/control/ca/root.ts';
import type { CaStore, StoredCa } from '../../../../src/control/ca/store.ts';
import { type ManualClock, manualClock } from '../../../support/clock.ts';

export const CALLER = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'reviews' };
export const CALLER_ID = 'spiffe://cluster.local/ns/shop/sa/reviews';

export interface CsrParts {
  readonly key?: KeyObject;
  readonly names?: readonly (readonly [tag: number, text: string])[];
  /** Another key than the one that the request is for. */
  readonly signer?: KeyObject;
  readonly algorithm?: string;
}

export function ecKey(namedCurve = 'prime256v1'): KeyObject {
  return generateKeyPairSync('ec', { namedCurve }).privateKey;
}

/** DER of a request that this project did not write. */
export function csrDer({ key = ecKey(), names = [[0x86, CALLER_ID]], signer = key, algorithm }: CsrParts = {}): Buffer {
  const rsa = signer.asymmetricKeyType === 'rsa';
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const sans = derSequence(...names.map(([tag, text]) => derElement(tag, Buffer.from(text))));
  const extension = derSequence(derObjectId('2.5.29.17'), derOctets(sans));
  const attributes = derSequence(derObjectId('1.2.840.113549.1.9.14'), derElement(Der.Set, derSequence(extension)));
  const info = derSequence(derUnsigned(Buffer.of(0)), derSequence(), spki, derElement(0xa0, attributes));
  const id = algorithm ?? (rsa ? '1.2.840.113549.1.1.11' : '1.2.840.10045.4.3.2');
  const named = derSequence(derObjectId(id), ...(rsa ? [DER_NULL] : []));
  return derSequence(info, named, derBits(sign('sha256', info, signer)));
}

export function csr(parts: CsrParts = {}): string {
  return pemOf(csrDer(parts), 'CERTIFICATE REQUEST');
}

export function x509(pem: string): X509Certificate {
  return new X509Certificate(pem);
}

/** A store that several servers share, in memory. */
export class MemoryStore implements CaStore {
  readonly name = 'memory';
  stored: StoredCa | null = null;
  saves = 0;
  /** What the next calls fail with; null: nothing. */
  failure: Error | null = null;

  constructor(files: CaFiles | null = null) {
    if (files !== null) this.stored = { files, version: '1' };
  }
  load(): Promise<StoredCa | null> {
    return this.failure === null ? Promise.resolve(this.stored) : Promise.reject(this.failure);
  }
  save(files: CaFiles, version: string | null): Promise<StoredCa | null> {
    if (this.failure !== null) return Promise.reject(this.failure);
    if ((this.stored?.version ?? null) !== version) return Promise.resolve(null);
    this.saves++;
    this.stored = { files, version: String(Number(version ?? 0) + 1) };
    return Promise.resolve(this.stored);
  }
}

export const DAY_MS = 86_400_000;

export function authorityOptions(parts: Partial<AuthorityOptions> & { clock?: ManualClock } = {}): AuthorityOptions {
  const clock = parts.clock ?? manualClock();
  return {
    store: new MemoryStore(),
    plugged: null,
    trustDomain: 'cluster.local',
    ttlMs: DAY_MS,
    clock,
    log: silentLogger(clock),
    mayRotate: () => true,
    ...parts,
  };
}
