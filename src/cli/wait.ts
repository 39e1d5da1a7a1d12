import { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { errorCode, messageOf, RemoraError } from '../base/errors.ts';
import { formatAddress, type SocketAddress } from '../model/address.ts';
import { parseAddress } from './proxy.ts';

/** How long one answer may take. */
const ANSWER_MS = 5000;

interface WaitFlags {
  readonly health: SocketAddress;
  readonly timeoutS: string;
  readonly periodMs: string;
}

export function waitCommand(): Command {
  return new Command('wait')
    .description('wait until the proxy of this pod is ready')
    .option('--health <address>', 'health port of the proxy', parseAddress, { host: '127.0.0.1', port: 15021 })
    .option('--timeout-s <seconds>', 'how long to wait at most', '60')
    .option('--period-ms <milliseconds>', 'how often to ask', '100')
    .addHelpText('after', '\nExample:\n  remora wait --timeout-s 30 && exec my-program')
    .action(({ health, timeoutS, periodMs }: WaitFlags) =>
      waitUntilReady(health, positive('--timeout-s', timeoutS) * 1000, positive('--period-ms', periodMs)),
    );
}

/** Resolves when `/healthz/ready` says 200; rejects after the time with what it said last. */
export async function waitUntilReady(health: SocketAddress, timeoutMs: number, periodMs: number): Promise<void> {
  const deadline = systemClock.now() + timeoutMs;
  let last = '';
  for (;;) {
    last = await ask(health);
    if (last === '') return;
    if (systemClock.now() + periodMs >= deadline) break;
    // Nothing else is to be done meanwhile.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, periodMs);
  }
  throw new RemoraError(
    'not_ready',
    `the proxy at ${formatAddress(health)} is not ready after ${timeoutMs / 1000} s: ${last}`,
  );
}

/** '' when it is ready; otherwise why not. */
async function ask(health: SocketAddress): Promise<string> {
  try {
    const response = await fetch(`http://${formatAddress(health)}/healthz/ready`, {
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const text = (await response.text()).trim();
    return response.ok ? '' : text || `status ${response.status}`;
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    return errorCode(cause) === 'ECONNREFUSED' ? 'nothing listens there' : messageOf(cause);
  }
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0) || value > 86_400_000) throw new RemoraError('usage', `${flag} ${text}: must be a number above 0`);
  return value;
}
