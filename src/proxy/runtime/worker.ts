import { enableCompileCache } from 'node:module';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { WorkerStart } from './worker-protocol.ts';

// Compiled code is read from the cache that the process has; each thread has to ask for it.
enableCompileCache?.();
const { WorkerThread } = await import('./worker-thread.ts');
new WorkerThread(workerData as WorkerStart, parentPort as MessagePort);
