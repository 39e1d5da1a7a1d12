import { connect } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { AppMetrics, AppProber } from './app-probers.ts';
import { callGrpcHealth } from './grpc-health-call.ts';
import { type AppAddress, callHttp, type HttpAnswer, type HttpCall, socketOptions } from './http-call.ts';
import { type AdminReply, type AdminRoute, textReply } from './route.ts';

/** The application beside this proxy, for probes and scrapes that come by the proxy's own ports. */
export interface App {
  readonly address: AppAddress;
  readonly probers: readonly AppProber[];
  readonly metrics: AppMetrics | null;
  readonly clock: Clock;
}

/** As many as a kubelet follows. */
const MAX_REDIRECTS = 10;
const SCRAPE_TIMEOUT_MS = 5000;
const MAX_SCRAPE_BYTES = 16 * 1024 * 1024;

/** A path for each probe that injection rewrote: what the application answers from inside is answered to the kubelet. */
export function appHealthRoutes({ address, probers, clock }: App): AdminRoute[] {
  return probers.map((prober) => ({
    path: prober.path,
    method: 'GET',
    help: `the application’s own probe, on port ${prober.action.port}`,
    handle: () => probe(prober, address, clock),
  }));
}

async function probe({ action, timeoutMs }: AppProber, address: AppAddress, clock: Clock): Promise<AdminReply> {
  const { port } = action;
  try {
    if (action.kind === 'tcp') await reach(address, port, timeoutMs, clock);
    else if (action.kind === 'grpc') await callGrpcHealth({ address, port, service: action.service, timeoutMs }, clock);
    else {
      const call = { address, port, tls: action.tls, path: action.path, headers: action.headers, timeoutMs };
      const { status } = await follow({ ...call, maxBodyBytes: 0 }, clock);
      // A kubelet takes everything below 400 for a success.
      if (status >= 400) return textReply(`the application answered ${status}\n`, status);
    }
    return textReply('');
  } catch (error) {
    return textReply(`the application on port ${port}: ${messageOf(error)}\n`, 503);
  }
}

/** Follows redirects on the same server, within the one timeout; one that leads elsewhere is a success, as to a kubelet. */
async function follow(call: HttpCall, clock: Clock): Promise<Pick<HttpAnswer, 'status'>> {
  const deadline = clock.now() + call.timeoutMs;
  let path = call.path;
  for (let i = 0; i <= MAX_REDIRECTS; i++) {
    const timeoutMs = Math.max(1, deadline - clock.now());
    const answer = await callHttp({ ...call, path, timeoutMs }, clock);
    if (answer.status < 300 || answer.status > 399 || answer.location === '') return answer;
    const base = `${call.tls ? 'https' : 'http'}://${call.address.host.includes(':') ? `[${call.address.host}]` : call.address.host}:${call.port}`;
    if (!URL.canParse(answer.location, `${base}${path}`)) return { status: 502 };
    const next = new URL(answer.location, `${base}${path}`);
    if (next.origin !== new URL(base).origin) return { status: 200 };
    path = `${next.pathname}${next.search}`;
  }
  throw new Error(`more than ${MAX_REDIRECTS} redirects`);
}

function reach(address: AppAddress, port: number, timeoutMs: number, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketOptions({ address, port }));
    const timer = clock.after(timeoutMs, () => socket.destroy(new Error(`no connection in ${timeoutMs / 1000} s`)));
    socket.on('connect', () => {
      timer.cancel();
      socket.destroy();
      resolve();
    });
    socket.on('error', (error) => {
      timer.cancel();
      reject(error);
    });
  });
}

/** The proxy's metrics with the application's after them; without, and with a comment that says so, where it does not answer. */
export async function withAppMetrics(own: AdminReply, { address, metrics, clock }: App): Promise<AdminReply> {
  if (metrics === null || own.status !== 200) return own;
  const between = own.body.endsWith('\n') || own.body === '' ? '' : '\n';
  const headers = [['accept', 'text/plain;version=0.0.4']] as const;
  const { port, path } = metrics;
  try {
    const call = { address, port, path, headers, tls: false, timeoutMs: SCRAPE_TIMEOUT_MS };
    const { status, body } = await callHttp({ ...call, maxBodyBytes: MAX_SCRAPE_BYTES }, clock);
    if (status !== 200) throw new Error(`status ${status}`);
    return { ...own, body: `${own.body}${between}${body.toString()}` };
  } catch (error) {
    return {
      ...own,
      body: `${own.body}${between}# the application’s metrics are missing: port ${port}: ${messageOf(error)}\n`,
    };
  }
}
