/** Who is signed in: a name in a cookie, signed so that it cannot be changed. There are no passwords. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export interface Sessions {
  /** The `set-cookie` value that signs `user` in. */
  open(user: string): string;
  /** The user whom a `cookie` header names, or undefined when nobody is signed in or the signature is wrong. */
  read(cookieHeader: string | undefined): string | undefined;
}

export const CLOSE_SESSION = 'session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0';

/** Replicas with the same key know each other's sessions; without one, they end with the process. */
export function createSessions(key: string | Buffer = randomBytes(32)): Sessions {
  const sign = (payload: string) => createHmac('sha256', key).update(payload).digest();
  return {
    open(user) {
      const payload = Buffer.from(user, 'utf8').toString('base64url');
      return `session=${payload}.${sign(payload).toString('base64url')}; Path=/; HttpOnly; SameSite=Lax`;
    },
    read(cookieHeader) {
      const match = /(?:^|;)\s*session=([\w-]+)\.([\w-]+)\s*(?:;|$)/.exec(cookieHeader ?? '');
      if (match === null) return undefined;
      const [, payload = '', signature = ''] = match;
      const given = Buffer.from(signature, 'base64url');
      const wanted = sign(payload);
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
      return Buffer.from(payload, 'base64url').toString('utf8');
    },
  };
}

/** A name that may be signed in: 1 to 64 characters, none of them a control character. */
export function userName(text: string | null): string | undefined {
  const name = (text ?? '').trim();
  return name.isWellFormed() && /^[^\p{Cc}\p{Zl}\p{Zp}]{1,64}$/u.test(name) ? name : undefined;
}

/** The name as a header value, which holds ASCII only: other letters are percent-encoded. */
export function headerValue(user: string): string {
  return /^[ -~]*$/.test(user) ? user : encodeURIComponent(user);
}
