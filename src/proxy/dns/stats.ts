import type { Stats } from '../telemetry/metrics/store.ts';

/** Istio's buckets, seconds. */
const DURATION_BUCKETS: readonly number[] = [0.001, 0.005, 0.01, 0.1, 1, 5];

/** What Istio's agent counts of its DNS proxy, by the same names. */
export class DnsStats {
  readonly #stats: Stats;
  readonly #requests: number;
  readonly #upstreamRequests: number;
  readonly #upstreamFailures: number;
  readonly #upstreamDuration: number;

  constructor(stats: Stats) {
    const counter = (name: string): number =>
      stats.counter(`istio_agent_${name}`, {}, `dns.${name.slice('dns_'.length)}`);
    this.#stats = stats;
    this.#requests = counter('dns_requests_total');
    this.#upstreamRequests = counter('dns_upstream_requests_total');
    this.#upstreamFailures = counter('dns_upstream_failures_total');
    const duration = 'istio_agent_dns_upstream_request_duration_seconds';
    this.#upstreamDuration = stats.histogram(duration, {}, 'dns.upstream_request_duration_seconds', DURATION_BUCKETS);
  }

  request(): void {
    this.#stats.inc(this.#requests);
  }
  upstreamRequest(): void {
    this.#stats.inc(this.#upstreamRequests);
  }
  upstreamFailure(): void {
    this.#stats.inc(this.#upstreamFailures);
  }
  upstreamTook(ms: number): void {
    this.#stats.observe(this.#upstreamDuration, ms / 1000);
  }
}
