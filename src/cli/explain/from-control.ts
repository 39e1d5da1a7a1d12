import { systemClock } from '../../base/clock.ts';
import { RemoraError } from '../../base/errors.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import { startDiscovery } from '../../proxy/runtime/xds-bridge.ts';
import type { DynamicConfig } from '../../xds/client/dynamic-config.ts';
import { VERSION } from '../version.ts';
import type { Answer, Question } from './answer.ts';
import { type Caller, callerUnseen } from './caller.ts';
import { bootstrapOf, explainSnapshot, idleProxy } from './idle-proxy.ts';

/** How long a control server may take to give a whole config. */
const CONTROL_MS = 15_000;
/** Failed attempts after which nobody is expected there. */
const HOPELESS = 2;
const LOOK_MS = 10;

/** Answers from what a control server pushes: asks it as the caller's proxy would. */
export async function explainControl(control: string, question: Question): Promise<Answer> {
  const caller = callerUnseen(question);
  const snapshot = await snapshotFrom(control, caller);
  const about = { asked: caller.called, source: `the control server at ${control}`, notes: [] };
  return explainSnapshot(snapshot, question, about, () => []);
}

async function snapshotFrom(control: string, caller: Caller): Promise<Snapshot> {
  const bootstrap = bootstrapOf(caller, control);
  const proxy = idleProxy(bootstrap);
  const discovery = startDiscovery(bootstrap, bootstrap.ads!, EMPTY_SNAPSHOT, proxy.env, VERSION);
  try {
    if (await inTime(discovery)) return discovery.snapshot.value;
    const { state, lastError } = discovery.status.ads;
    const why = state === 'connected' ? `no whole config within ${CONTROL_MS / 1000} s` : reasonIn(lastError);
    throw new RemoraError('unreachable', `cannot ask the control server at ${control} (its xDS port): ${why}`);
  } finally {
    await discovery.close();
    await proxy.close();
  }
}

/** gRPC's words, without its own address book. */
function reasonIn(error: string): string {
  if (error.includes('ECONNREFUSED')) return 'nothing listens there';
  if (error.includes('Protocol error')) return 'what listens there does not speak gRPC';
  return error.replace(/\s*Resolution note:.*$/s, '') || 'no answer';
}

/** Resolves when a whole config is there: true, or when it is clear that none will come. */
function inTime(discovery: DynamicConfig): Promise<boolean> {
  // The clock's timers keep no process alive, and nobody listens on an address that refuses.
  const { port1: alive } = new MessageChannel();
  alive.ref();
  const deadline = systemClock.now() + CONTROL_MS;
  return new Promise<boolean>((resolve) => {
    const look = (): void => {
      if (discovery.ready.value) resolve(true);
      else if (systemClock.now() > deadline || discovery.status.ads.failures >= HOPELESS) resolve(false);
      else systemClock.after(LOOK_MS, look);
    };
    look();
  }).finally(() => alive.close());
}
