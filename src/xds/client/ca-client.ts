import type { Clock } from '../../base/clock.ts';
import { RemoraError } from '../../base/errors.ts';
import { GrpcCall } from '../../protocol/grpc/call.ts';
import { decode, encode, Problems } from '../proto/codec.ts';
import { CREATE_CERTIFICATE, IstioCertificateRequest, IstioCertificateResponse } from '../proto/istio-ca.ts';
import type { Dialled } from './dial.ts';

export interface CaCall {
  /** A connection to the CA; its other end has been verified. */
  readonly connection: Dialled;
  readonly authority: string;
  readonly clock: Clock;
  /** PEM. */
  readonly csr: string;
  /** Wanted life of the certificate, in seconds; 0: the CA's own. */
  readonly validityS: number;
}

const MAX_RESPONSE_BYTES = 1024 * 1024;
const DEADLINE_MS = 20_000;

/** Asks Istio's certificate service for a certificate: PEM, leaf first, all roots in the last element. */
export function createCertificate(call: CaCall): Promise<readonly string[]> {
  const { connection, authority, clock, csr, validityS } = call;
  return new Promise((resolve, reject) => {
    let chain: readonly string[] | null = null;
    const fail = (reason: string): void => {
      deadline.cancel();
      reject(new RemoraError('ca_call', reason, { source: 'upstream', retryable: true }));
    };
    const grpc = new GrpcCall(
      connection.socket,
      {
        path: CREATE_CERTIFICATE,
        authority,
        scheme: connection.secure ? 'https' : 'http',
        metadata: connection.metadata,
        clock,
        maxMessageBytes: MAX_RESPONSE_BYTES,
      },
      {
        open: () => {},
        message: (bytes) => {
          const problems = new Problems();
          const response = decode(IstioCertificateResponse, bytes, problems, '', { validate: false });
          chain = response.cert_chain ?? [];
        },
        end: (error) => {
          if (error !== null) return fail(`${error.code}: ${error.message}`);
          if (chain === null || chain.length < 2) return fail('the CA answered without a chain and its roots');
          deadline.cancel();
          resolve(chain);
        },
      },
    );
    const deadline = clock.after(DEADLINE_MS, () => {
      grpc.cancel();
      fail(`the CA did not answer within ${DEADLINE_MS / 1000} s`);
    });
    grpc.send(encode(IstioCertificateRequest, { csr, ...(validityS > 0 ? { validity_duration: validityS } : {}) }));
    grpc.halfClose();
  });
}
