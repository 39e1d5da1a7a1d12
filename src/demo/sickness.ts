/** Makes a service fail or dawdle on demand, for trying what the mesh does about it. */
import { setTimeout as wait } from 'node:timers/promises';
import { type Handler, type Identity, json, Refusal, type ServiceOptions } from './service.ts';

export type Sleep = (ms: number) => Promise<void>;

export interface SicknessOptions extends ServiceOptions {
  /** Stands in for the clock in tests. */
  readonly sleep?: Sleep;
}

/**
 * `POST /sick?status=503` makes every later answer (`/health` too) that status, `?status=0` heals. `GET /sick` tells.
 * `/sick` itself always works, so that a sick instance can be healed.
 */
export function withSickness(identity: Identity, options: SicknessOptions, next: Handler): Handler {
  let status = checkedStatus(options.sick ?? 0);
  const slowMs = options.slowMs ?? 0;
  const sleep: Sleep = options.sleep ?? ((ms) => wait(ms));

  return async (request) => {
    if (request.path === '/sick') {
      if (request.method === 'POST') status = checkedStatus(statusFrom(request.query));
      return json(200, { pod: identity.pod, sick: status });
    }
    if (slowMs > 0) await sleep(slowMs);
    if (status !== 0) return json(status, { error: `${identity.pod} is sick: it was told to answer ${status}` });
    return next(request);
  };
}

function statusFrom(query: URLSearchParams): number {
  const text = query.get('status') ?? '';
  return /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
}

function checkedStatus(status: number): number {
  if (status === 0 || (status >= 400 && status <= 599)) return status;
  throw new Refusal(400, 'status must be 0 (healthy) or from 400 to 599');
}
