import { nearest } from '../../control/source/schema/suggest.ts';
import { parseOutbound } from '../../control/translate/emit/names.ts';
import { ALLOW_ANY } from '../../control/translate/emit/outside.ts';
import type { ListenerExplanation, TargetExplanation } from '../../proxy/admin/explain.ts';
import type { EndpointDescription } from '../../proxy/upstream/describe.ts';
import { count, duration } from '../output.ts';
import type { Answer } from './answer.ts';

/** The end of the explanation: what the client gets, and what to do where that is no answer. */
export interface Verdict {
  readonly good: boolean;
  readonly lines: readonly string[];
  readonly advice: readonly string[];
}

export function verdictOf(answer: Answer): Verdict {
  const { listener, details } = answer;
  if (listener === null) return { good: false, lines: ['nobody listens: no connection'], advice: [] };
  if (listener.route === null) return refusal(listener, answer);
  const { route } = listener;
  if (route.action === 'redirect') {
    const where = details.redirect === '' ? '' : ` to ${details.redirect}`;
    return { good: true, lines: [`${route.status} redirect${where}`], advice: [] };
  }
  if (route.action === 'direct')
    return { good: route.status < 400, lines: [`${route.status} from the route itself`], advice: [] };
  return forwarded(route.targets, listener);
}

function forwarded(targets: readonly TargetExplanation[], { filters }: ListenerExplanation): Verdict {
  const lines: string[] = [];
  const fault = filters.find((filter) => filter.fault !== null)?.fault ?? null;
  if (fault !== null && fault.abort !== '' && fault.abortPercent > 0) {
    lines.push(`${fault.abortPercent} %: ${fault.abort} FI: the fault is injected on purpose`);
    if (fault.abortPercent >= 100) return { good: false, lines, advice: [] };
  }
  const late =
    fault !== null && fault.delayMs > 0 && fault.delayPercent > 0 ? lateness(fault.delayMs, fault.delayPercent) : '';
  const chosen = targets.filter(({ weight }) => weight > 0 || targets.length === 1);
  let good = true;
  const advice: string[] = [];
  for (const target of chosen) {
    const share = chosen.length === 1 ? '' : `${target.share} % `;
    const problem = problemOf(target);
    if (problem === '') lines.push(`${share}${destination(target)}${late}`);
    else {
      good = false;
      lines.push(`${share}${problem}`);
      advice.push(...adviceFor(target));
    }
  }
  return { good, lines, advice: [...new Set(advice)] };
}

function lateness(ms: number, percent: number): string {
  return percent >= 100 ? `, ${duration(ms)} late` : `, ${percent} % of them ${duration(ms)} late`;
}

/** `503 UH: …`; '' when it would be answered. */
function problemOf({ refused, state, cluster, warnings }: TargetExplanation): string {
  if (refused !== '') return refused;
  const [warning] = warnings;
  if (warning === undefined || warning.includes('panic')) return '';
  const match = /^(.*): (\d{3}), ([A-Z]+)\.$/.exec(warning);
  if (match === null) return warning;
  // The stand-in for what nobody defined says what that is.
  const why = state !== null && state.membership.total === 0 && /^no /.test(state.origin) ? `: ${state.origin}` : '';
  return `${match[2]} ${match[3]}: ${match[1]!.replace(JSON.stringify(cluster), targetName(cluster))}${why}`;
}

function adviceFor({ cluster, state }: TargetExplanation): string[] {
  const parts = parseOutbound(cluster);
  if (parts === null || state === null) return [];
  const { host, subset } = parts;
  if (/^no DestinationRule/.test(state.origin)) return [`add subset ${subset} to a DestinationRule for ${host}`];
  if (/^no service/.test(state.origin)) return ['write the Service, or correct the destination of the route'];
  if (/^service .* has no port/.test(state.origin)) return ['correct the port of the route, or add it to the Service'];
  if (state.membership.total > 0) return ['its instances are ejected or not ready: look at their logs'];
  const version = subset === '' ? '' : ` --version ${subset}`;
  return [
    `start an instance: \`remora run --service ${serviceName(host)}${version} -- COMMAND\`, or scale it up on the cluster`,
  ];
}

/** `reviews v2 at 127.0.0.1:41557 (1 healthy endpoint)` */
function destination({ cluster, state }: TargetExplanation): string {
  const name = targetName(cluster);
  if (state === null) return name;
  if (state.endpoints.length === 0) return `${name}, at the address that the client asked for`;
  const healthy = state.endpoints.filter(isHealthy);
  const picked = healthy.length === 0 ? state.endpoints : healthy;
  const shown = picked.slice(0, MOST_ADDRESSES).map(({ address }) => address);
  const more = picked.length > shown.length ? ', …' : '';
  const rest = state.endpoints.length - healthy.length;
  const others = rest === 0 ? '' : ` of ${state.endpoints.length}`;
  return `${name} at ${shown.join(', ')}${more} (${healthy.length}${others} healthy ${healthy.length === 1 && rest === 0 ? 'endpoint' : 'endpoints'})`;
}

const MOST_ADDRESSES = 4;

export function isHealthy({ health, ejected }: EndpointDescription): boolean {
  return !ejected && (health === 'HEALTHY' || health === 'UNKNOWN' || health === 'DEGRADED');
}

/** `reviews v2` for a cluster that Istio's scheme names. */
export function targetName(cluster: string): string {
  const parts = parseOutbound(cluster);
  if (parts !== null)
    return parts.subset === '' ? serviceName(parts.host) : `${serviceName(parts.host)} ${parts.subset}`;
  const inbound = /^inbound\|(\d+)\|/.exec(cluster);
  return inbound === null ? `cluster ${cluster}` : `the app on port ${inbound[1]}`;
}

function serviceName(host: string): string {
  return /^([^.]+)\.[^.]+\.svc\./.exec(host)?.[1] ?? host;
}

/** No route, or refused before one was looked for. */
function refusal(listener: ListenerExplanation, { request }: Answer): Verdict {
  const { trace, outcome } = listener;
  const refused = /^Refused with (\d{3}): (.*)$/s.exec(outcome);
  if (refused !== null) return { good: false, lines: [`${refused[1]}: ${refused[2]}`], advice: [] };
  if (trace === null) return { good: false, lines: [outcome], advice: [] };
  const host = trace.virtualHosts.find(({ chosen }) => chosen);
  if (host === undefined || host.name === ALLOW_ANY) {
    const where =
      listener.direction === 'OUTBOUND' && listener.listener === 'http_proxy' ? 'the mesh' : 'this listener';
    return {
      good: false,
      lines: [`404 NR: ${where} knows no host ${request.authority}`],
      advice: hostAdvice(
        trace.virtualHosts.flatMap(({ domains }) => domains),
        request.authority,
      ),
    };
  }
  const written = [...new Set(trace.routes.map(({ origin }) => origin.replace(/ \S+\[\d+\]\S*$/, '')))].filter(Boolean);
  const where = written.length === 0 ? '' : ` of ${written.join(', ')}`;
  return {
    good: false,
    lines: [
      `404 NR: host ${request.authority} is known, but none of its ${count(trace.routes.length, 'route')} matches`,
    ],
    advice: [
      `add a match for ${request.path.split('?')[0]} to the routes${where}, or call a path that one of them has`,
    ],
  };
}

function hostAdvice(domains: readonly string[], authority: string): string[] {
  const names = domains.filter((domain) => !domain.includes('*'));
  const bare = authority.toLowerCase().replace(/:\d+$/, '');
  const ports = names.filter((domain) => domain.startsWith(`${bare}:`)).map((domain) => domain.slice(bare.length + 1));
  if (ports.length > 0) return [`${bare} is there on port ${ports.join(', ')}: write that in the URL`];
  const near = nearest(bare, [...new Set(names.map((domain) => domain.replace(/:\d+$/, '')))]);
  if (near !== undefined) return [`did you mean ${near}?`];
  const short = [...new Set(names.map(serviceOf))].filter((name) => name !== '').sort();
  const known =
    short.length === 0 ? '' : ` (there is ${short.slice(0, 12).join(', ')}${short.length > 12 ? ', …' : ''})`;
  return [`write a Service or a ServiceEntry for it, or call a host that is there${known}`];
}

/** The plain name of a domain, where it is the plain one. */
function serviceOf(domain: string): string {
  return /^[^.:]+$/.test(domain) ? domain : '';
}
