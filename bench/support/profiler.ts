/**
 * Preloaded into a proxy by `--import`: SIGUSR2 starts a CPU profile, the next writes it to
 * REMORA_BENCH_PROFILE and ends it. So a profile holds the load and not the start.
 */
import { writeFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector';

const file = process.env.REMORA_BENCH_PROFILE;
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.setSamplingInterval', { interval: 250 });
let running = false;
process.on('SIGUSR2', () => {
  if (!running) {
    running = true;
    session.post('Profiler.start');
    return;
  }
  running = false;
  session.post('Profiler.stop', (error: Error | null, { profile }: Profiler.StopReturnType) => {
    if (error !== null) throw error;
    if (file !== undefined) writeFileSync(file, JSON.stringify(profile));
  });
});
