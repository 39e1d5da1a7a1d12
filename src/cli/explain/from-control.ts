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
const CONTROL_MS = 5000;

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
  const discovery = startDiscovery(bootstrap, bootstrap.ads!, EMPTY_SNAPSHOT, proxy.env, VERSION, undefined);
  try {
    if (await inTime(discovery)) return discovery.snapshot.value;
    const { state, lastError } = discovery.status.ads;
    const why = state === 'connected' ? `no whole config within ${CONTROL_MS / 1000} s` : lastError || 'no answer';
    throw new RemoraError('unreachable', `cannot ask the control server at ${control} (its xDS port): ${why}`);
  } finally {
    await discovery.close();
    await proxy.close();
  }
}

/** Resolves when a whole config is there, or soon after the server could not be reached. */
function inTime(discovery: DynamicConfig): Promise<boolean> {
  if (discovery.ready.value) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = systemClock.after(CONTROL_MS, () => resolve(false));
    discovery.ready.subscribe((ready) => {
      if (!ready) return;
      timer.cancel();
      resolve(true);
    });
  });
}
