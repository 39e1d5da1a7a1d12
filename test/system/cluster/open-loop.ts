import { Agent, request } from 'node:http';

export interface LoadOptions {
  readonly url: string;
  /** Requests a second, each sent when it is due, however slow those before it are. */
  readonly rate: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An answer that takes longer has failed. */
  readonly timeoutMs?: number;
  /** Connections that are kept; a request for which none is free opens another. */
  readonly keep?: number;
}

export interface LoadResult {
  readonly sent: number;
  readonly ok: number;
  readonly failed: number;
  /** `503 upstream connect error…` or `ECONNRESET` → how often. */
  readonly failures: Readonly<Record<string, number>>;
  /** The first failures, with when they happened: seconds from the start. */
  readonly first: readonly string[];
  readonly seconds: number;
  /** From when a request was due to the end of its answer, ms: a stall counts for all who waited in it. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** By the header that `countBy` names. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Load that does not wait for the server (open loop) and never asks twice: what fails once has failed. */
export class OpenLoop {
  readonly #options: LoadOptions;
  readonly #agent: Agent;
  readonly #started = performance.now();
  readonly #latencies: number[] = [];
  readonly #failures = new Map<string, number>();
  readonly #first: string[] = [];
  #sent = 0;
  #done = 0;
  #timer: NodeJS.Timeout | null;
  #whenIdle: (() => void) | null = null;
  readonly #counts = new Map<string, number>();
  readonly #countBy: string;

  constructor(options: LoadOptions, countBy = '') {
    this.#options = options;
    this.#countBy = countBy;
    this.#agent = new Agent({ keepAlive: true, maxFreeSockets: options.keep ?? 32, scheduling: 'fifo' });
    this.#timer = setInterval(() => this.#sendDue(), 5);
  }

  get failed(): number {
    return [...this.#failures.values()].reduce((sum, count) => sum + count, 0);
  }
  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  /** Sends no more, waits for every answer that is due. */
  async stop(): Promise<LoadResult> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    const { seconds } = this;
    if (this.#done < this.#sent)
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    this.#agent.destroy();
    const sorted = this.#latencies.sort((a, b) => a - b);
    const at = (share: number): number => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
    return {
      sent: this.#sent,
      ok: sorted.length,
      failed: this.failed,
      failures: Object.fromEntries(this.#failures),
      first: this.#first,
      seconds,
      p50: at(0.5),
      p99: at(0.99),
      max: at(1),
      counts: Object.fromEntries(this.#counts),
    };
  }

  #sendDue(): void {
    const { rate } = this.#options;
    const due = Math.floor(((performance.now() - this.#started) / 1000) * rate);
    while (this.#sent < due) {
      this.#send(this.#started + (this.#sent / rate) * 1000);
      this.#sent += 1;
    }
  }

  #send(due: number): void {
    const { url, headers = {}, timeoutMs = 10_000 } = this.#options;
    let over = false;
    const end = (failure: string | null): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      if (failure === null) this.#latencies.push(performance.now() - due);
      else this.#fail(failure);
      this.#done += 1;
      if (this.#done === this.#sent && this.#timer === null) this.#whenIdle?.();
    };
    const asked = request(url, { agent: this.#agent, headers }, (answer) => {
      let body = '';
      answer.on('data', (chunk) => {
        if (body.length < 240) body += chunk;
      });
      answer.on('error', (error) => end(`in the answer: ${(error as NodeJS.ErrnoException).code ?? error.message}`));
      answer.on('end', () => {
        const { statusCode = 0 } = answer;
        if (statusCode < 200 || statusCode > 299) {
          // An answer that the gateway had from somebody carries how long that took.
          const by =
            answer.headers['x-envoy-upstream-service-time'] === undefined ? 'the gateway' : 'behind the gateway';
          return end(`${statusCode} by ${by}: ${body.slice(0, 240)}`);
        }
        const name = String(answer.headers[this.#countBy] ?? '');
        if (this.#countBy !== '') this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
        end(null);
      });
    });
    asked.on('error', (error: NodeJS.ErrnoException) =>
      end(`${error.code ?? error.message}${asked.reusedSocket ? ' on a kept connection' : ''}`),
    );
    const timer = setTimeout(() => {
      end(`no answer in ${timeoutMs} ms`);
      asked.destroy();
    }, timeoutMs);
    asked.end();
  }

  #fail(failure: string): void {
    this.#failures.set(failure, (this.#failures.get(failure) ?? 0) + 1);
    if (this.#first.length < 20)
      this.#first.push(`${new Date().toISOString()} +${this.seconds.toFixed(1)} s ${failure}`);
  }
}
