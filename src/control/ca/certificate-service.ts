import { timingSafeEqual } from 'node:crypto';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { parseSpiffeId, type SpiffeIdentity, spiffeId } from '../../base/spiffe.ts';
import { decode, encode, Problems } from '../../xds/proto/codec.ts';
import { CREATE_CERTIFICATE, IstioCertificateRequest, IstioCertificateResponse } from '../../xds/proto/istio-ca.ts';
import { type Authenticate, type Caller, CallRefused, type UnaryMethod } from '../serve/caller.ts';
import type { CertificateAuthority } from './authority.ts';
import { CsrError, readCsr } from './csr.ts';
import { TokenRefused, type TokenReviewer } from './token-review.ts';

/**
 * Who calls: by a certificate of ours that is still valid, or by a service account's token that the API server vouches
 * for. Without an API server, on a laptop, by the token that this server wrote for processes of its own user, and from
 * this machine only; whoever can read it may have any identity, as they could read the CA's key as well.
 */
export function authenticator(tokens: { reviewer: TokenReviewer | null; local: string }): Authenticate {
  return async (call) => {
    if (call.certificate !== null) return call.certificate;
    if (call.token === '') {
      throw new CallRefused('UNAUTHENTICATED', 'neither a certificate of this mesh nor a token came with the call');
    }
    if (call.loopback && tokens.local !== '' && sameText(call.token, tokens.local)) return 'local';
    if (tokens.reviewer === null) throw new CallRefused('UNAUTHENTICATED', 'the token is not the one of this server');
    if (!call.secure) throw new CallRefused('UNAUTHENTICATED', 'a token is taken over TLS only: call port 15012');
    try {
      return await tokens.reviewer.identify(call.token);
    } catch (error) {
      if (error instanceof TokenRefused) throw new CallRefused('UNAUTHENTICATED', messageOf(error));
      throw new CallRefused('UNAVAILABLE', `the token could not be reviewed: ${messageOf(error)}`);
    }
  };
}

function sameText(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}

/** `istio.v1.auth.IstioCertificateService`: a request for a certificate by whoever proves who it is. */
export function certificateService(ca: CertificateAuthority, authenticate: Authenticate, log: Logger): UnaryMethod {
  return {
    path: CREATE_CERTIFICATE,
    async handle(bytes, call) {
      const problems = new Problems();
      const request = decode(IstioCertificateRequest, bytes, problems, '', { validate: false });
      // A client newer than this may say more; that is no reason to turn it away.
      const fatal = problems.list.find(({ reason }) => !reason.startsWith('unknown '));
      if (fatal !== undefined) throw new CallRefused('INVALID_ARGUMENT', `malformed request: ${fatal.reason}`);
      const caller = await authenticate(call);
      if (!ca.ready) throw new CallRefused('UNAVAILABLE', 'the CA is not there yet');
      const issued = sign(ca, request, caller);
      log.info('certificate issued', { to: spiffeId(issued.to), peer: call.peer });
      // The roots are one element, whatever their number: so a client can tell them from the chain.
      return encode(IstioCertificateResponse, { cert_chain: [...issued.chain, issued.roots] });
    },
  };
}

function sign(
  ca: CertificateAuthority,
  { csr = '', validity_duration: seconds = 0 }: IstioCertificateRequest,
  caller: Caller,
) {
  try {
    const to = caller === 'local' ? claimed(csr, ca.trustDomain) : caller;
    return { to, ...ca.signWorkload(csr, to, seconds * 1000) };
  } catch (error) {
    if (error instanceof CsrError) throw new CallRefused('INVALID_ARGUMENT', messageOf(error));
    throw error;
  }
}

/** Who a request of this server's own user says that it is. */
function claimed(csr: string, trustDomain: string): SpiffeIdentity {
  const identity = parseSpiffeId(readCsr(csr).uris[0] ?? '');
  if (identity?.trustDomain === trustDomain) return identity;
  throw new CsrError(`the request must be for spiffe://${trustDomain}/ns/NAMESPACE/sa/SERVICE-ACCOUNT`);
}
