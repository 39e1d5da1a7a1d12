import { errorCode, messageOf, RemoraError } from '../base/errors.ts';
import { formatAddress, type SocketAddress } from '../model/address.ts';

/** How long a server on this machine may take to answer. */
const TIMEOUT_MS = 10_000;

/** Asks an HTTP port of ours. `who` names it in errors: `the control server`. */
export async function fetchJson(address: SocketAddress, path: string, who: string): Promise<unknown> {
  const at = formatAddress(address);
  let response: Response;
  let text: string;
  try {
    response = await fetch(`http://${at}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' });
    text = await response.text();
  } catch (error) {
    throw new RemoraError('unreachable', `cannot reach ${who} at ${at}: ${whyUnreachable(error)}`, { cause: error });
  }
  // What is wrong with the question is said in one line of text.
  if (!response.ok)
    throw new RemoraError('refused', `${who} at ${at}: ${firstLine(text) || `status ${response.status}`}`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RemoraError('not_ours', `what listens at ${at} is not ${who}: its answer is not JSON`, { cause: error });
  }
}

function whyUnreachable(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer in ${TIMEOUT_MS / 1000} s`;
  const code = errorCode(cause);
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  if (code?.startsWith('HPE_') || messageOf(cause).includes('HTTP/1.1 protocol'))
    return 'what listens there does not speak HTTP';
  if (code === 'ENOTFOUND') return 'there is no such host';
  return messageOf(cause);
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? '';
}
