import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { SpiffeIdentity } from '../../base/spiffe.ts';
import type { KubeRequest } from '../source/kube/client.ts';
import { isRecord } from '../source/schema/type.ts';

export interface TokenReviewOptions {
  readonly api: { send(request: KubeRequest): Promise<unknown> };
  readonly clock: Clock;
  readonly trustDomain: string;
  /** Who the token must be for. */
  readonly audience: string;
}

/** Why a token proves nothing; the message is for the caller and tells nothing of the token. */
export class TokenRefused extends Error {}

const MAX_TOKEN_BYTES = 16 * 1024;
/** A proxy that reconnects is not asked about anew; a token that was revoked is taken for so long. */
const CACHE_MS = 60_000;
const MAX_CACHED = 10_000;
/** Reviews under way: a start of the whole mesh queues at the proxies, not at the API server. */
const MAX_REVIEWS = 100;
const REVIEW_MS = 10_000;
const USER = /^system:serviceaccount:([^:]+):([^:]+)$/;

interface Known {
  readonly identity: SpiffeIdentity;
  readonly until: number;
}

/** Who a bearer token is, by the API server's word (authentication.k8s.io/v1 TokenReview). */
export class TokenReviewer {
  readonly #options: TokenReviewOptions;
  /** By the token's digest, oldest first. */
  readonly #known = new Map<string, Known>();
  readonly #asking = new Map<string, Promise<SpiffeIdentity>>();

  constructor(options: TokenReviewOptions) {
    this.#options = options;
  }

  /** Rejects with TokenRefused, or with a KubeError when nobody could be asked. */
  identify(token: string): Promise<SpiffeIdentity> {
    if (token === '' || token.length > MAX_TOKEN_BYTES) return Promise.reject(new TokenRefused('the token is none'));
    const digest = createHash('sha256').update(token).digest('base64');
    const known = this.#known.get(digest);
    if (known !== undefined && known.until > this.#options.clock.now()) return Promise.resolve(known.identity);
    const asking = this.#asking.get(digest);
    if (asking !== undefined) return asking;
    if (this.#asking.size >= MAX_REVIEWS) return Promise.reject(new TokenRefused('too many tokens are being reviewed'));
    const asked = this.#review(token)
      .then((identity) => {
        this.#keep(digest, identity);
        return identity;
      })
      .finally(() => this.#asking.delete(digest));
    this.#asking.set(digest, asked);
    return asked;
  }

  #keep(digest: string, identity: SpiffeIdentity): void {
    this.#known.delete(digest);
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_CACHED && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(digest, { identity, until: this.#options.clock.now() + CACHE_MS });
  }

  async #review(token: string): Promise<SpiffeIdentity> {
    const { api, audience, trustDomain } = this.#options;
    const answer = await api.send({
      method: 'POST',
      path: '/apis/authentication.k8s.io/v1/tokenreviews',
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: [audience] } },
      timeoutMs: REVIEW_MS,
    });
    const { status } = isRecord(answer) ? answer : {};
    const { authenticated, audiences, user } = isRecord(status) ? status : {};
    if (authenticated !== true) throw new TokenRefused('the API server does not know the token');
    // A server that knows nothing of audiences leaves the list out, and takes any token.
    if (!Array.isArray(audiences) || !audiences.includes(audience)) {
      throw new TokenRefused(`the token is not for ${audience}`);
    }
    const { username } = isRecord(user) ? user : {};
    const [, namespace, serviceAccount] = USER.exec(String(username)) ?? [];
    if (namespace === undefined || serviceAccount === undefined) {
      throw new TokenRefused('the token is of no service account');
    }
    return { trustDomain, namespace, serviceAccount };
  }
}
