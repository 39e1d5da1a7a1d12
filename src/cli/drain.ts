import { Command } from 'commander';
import { errorCode, messageOf, RemoraError } from '../base/errors.ts';
import { formatAddress, type SocketAddress } from '../model/address.ts';
import { parseAddress } from './proxy.ts';

export function drainCommand(): Command {
  return new Command('drain')
    .description('the proxy of this pod stops being ready and asks its clients to leave: a preStop hook')
    .option('--admin <address>', 'admin port of the proxy', parseAddress, { host: '127.0.0.1', port: 15000 })
    .addHelpText(
      'after',
      '\nExample:\n  remora drain\n\nIt returns at once and nothing is cut: calls are answered while the application lives.',
    )
    .action(({ admin }: { readonly admin: SocketAddress }) => drain(admin));
}

/** A pod's end begins: who balances takes it out, and clients that stay are asked to go. */
async function drain(admin: SocketAddress): Promise<void> {
  const url = `http://${formatAddress(admin)}/healthcheck/fail`;
  let status: number;
  try {
    status = (await fetch(url, { method: 'POST', signal: AbortSignal.timeout(5000) })).status;
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new RemoraError(
      'unreachable',
      `cannot reach the proxy at ${formatAddress(admin)}: ${errorCode(cause) === 'ECONNREFUSED' ? 'nothing listens there; --admin names another port' : messageOf(cause)}`,
    );
  }
  if (status !== 200) throw new RemoraError('refused', `the proxy at ${formatAddress(admin)} answered ${status}`);
}
