import { parseOutbound } from '../../control/translate/emit/names.ts';
import type { FilterExplanation, ListenerExplanation, TargetExplanation } from '../../proxy/admin/explain.ts';
import type { RuleTrace } from '../../proxy/router/explain.ts';
import type { EndpointDescription } from '../../proxy/upstream/describe.ts';
import { count, duration, type Paint } from '../output.ts';
import type { Answer, Details } from './answer.ts';
import { isHealthy, verdictOf } from './verdict.ts';

/** The answer for people: a line for each step of the request's way, and the outcome last. */
export function formatAnswer(answer: Answer, paint: Paint): string {
  const page = new Page(paint);
  const { request, listener } = answer;
  page.line(paint.strong(`${request.method} http://${request.authority}${request.path}`));
  for (const [name, value] of request.headers) page.line(`  ${name}: ${value}`);
  page.line(paint.faint(`asked: ${answer.asked}; config: ${answer.source}`));
  page.line('');
  if (listener !== null) listenerPart(page, listener, answer);
  for (const note of answer.notes) page.row('note', paint.warn(note));
  verdictPart(page, answer);
  return page.text;
}

/** Labels in a column, what they label behind. */
class Page {
  text = '';
  readonly paint: Paint;
  #last = '';

  constructor(paint: Paint) {
    this.paint = paint;
  }
  line(text: string): void {
    this.text += `${text.trimEnd()}\n`;
  }
  row(label: string, text: string): void {
    const shown = label === this.#last ? '' : label;
    this.#last = label;
    this.line(`${this.paint.faint(shown.padEnd(WIDTH))}${text}`);
  }
}

const WIDTH = 14;

function listenerPart(page: Page, listener: ListenerExplanation, { otherListeners, details }: Answer): void {
  const { paint } = page;
  const at = listener.addresses.filter((address) => !address.endsWith(':1'));
  const also = otherListeners.length === 0 ? '' : paint.faint(` (also there: ${otherListeners.join(', ')})`);
  page.row('listener', `${listener.listener}${at.length === 0 ? '' : ` at ${at.join(', ')}`}${also}`);
  routesPart(page, listener);
  if (listener.route !== null) {
    filtersPart(page, listener.filters);
    const { targets } = listener.route;
    for (const target of targets) targetPart(page, target, targets.length > 1, details);
    // They follow from the route, so nearly always they are the same for all.
    const ways = new Map(targets.map((target) => [JSON.stringify(wayOf(target)), target]));
    for (const target of ways.values()) wayPart(page, target);
  }
  for (const { says, origin } of details.policies) {
    page.row('policy', says);
    if (origin !== '') page.row('policy', `  ${paint.faint(origin)}`);
  }
}

function routesPart(page: Page, { trace }: ListenerExplanation): void {
  if (trace === null) return;
  const { paint } = page;
  const host = trace.virtualHosts.find(({ chosen }) => chosen);
  if (host === undefined) {
    page.row(
      'virtual host',
      `${paint.bad('✗')} none of ${trace.virtualHosts.length} covers ${JSON.stringify(trace.authority)}`,
    );
    return;
  }
  page.row('virtual host', `${host.name} (${host.why})`);
  for (const [i, route] of trace.routes.entries()) {
    routePart(page, route);
    // Matches of one rule are routes of one origin.
    if (route.origin !== '' && route.origin !== trace.routes[i + 1]?.origin) {
      page.row('route', `  ${paint.faint(route.origin)}`);
    }
  }
  if (trace.routesNotReached > 0) {
    page.row(
      'route',
      paint.faint(`· ${count(trace.routesNotReached, 'more')} behind it, not looked at`.replace('mores', 'more')),
    );
  }
}

function routePart(page: Page, { matched, index, name, conditions, why }: RuleTrace): void {
  const { paint } = page;
  const label = name === '' ? `#${index}` : `#${index} ${name}`;
  if (matched) page.row('route', `${paint.good('✓')} ${label}: ${conditions.join(' and ')}`);
  else page.row('route', `${paint.bad('✗')} ${label} ${why}`);
}

function filtersPart(page: Page, filters: readonly FilterExplanation[]): void {
  const quiet: string[] = [];
  for (const { name, disabled, routeConfig, says } of filters) {
    const short = name.replace(/^envoy\.filters\.http\./, '');
    if (disabled) quiet.push(`${short} (off)`);
    else if (says !== '') page.row('filter', `${page.paint.warn(short)} ${says}`);
    else if (routeConfig) page.row('filter', `${page.paint.warn(short)} is configured for this route`);
    else quiet.push(short);
  }
  if (quiet.length > 0) page.row('filter', page.paint.faint(`${quiet.join(', ')}: nothing to do by the routes`));
}

function targetPart(page: Page, target: TargetExplanation, split: boolean, { clusters }: Details): void {
  const { paint } = page;
  const { cluster, share, state } = target;
  const parts = parseOutbound(cluster);
  page.row(`cluster${split ? ` ${share} %` : ''}`, cluster === '' ? 'none' : cluster);
  if (state !== null && state.origin !== '') page.row('', `  ${paint.faint(state.origin)}`);
  if (parts !== null) page.row('subset', parts.subset === '' ? 'none: every instance of the service' : parts.subset);
  if (state !== null) {
    const { total, healthy } = state.membership;
    const summary =
      total === 0 ? paint.bad('none') : `${healthy} of ${total} healthy, ${state.lbPolicy.replaceAll('_', ' ')}`;
    page.row('endpoints', summary);
    for (const endpoint of state.endpoints) page.row('endpoints', endpointText(endpoint, paint));
  }
  for (const says of clusters[cluster] ?? []) page.row('limits', says);
}

function wayOf({ upstream, timeouts, retries, redirects }: TargetExplanation): object {
  return { upstream, timeouts, retries, redirects };
}

/** How it is sent. */
function wayPart(page: Page, { upstream, timeouts, retries, redirects }: TargetExplanation): void {
  page.row('sent as', `${upstream.authority}${upstream.path}`);
  const { routeMs, perTryMs, perTryIdleMs, connectMs, idleMs } = timeouts;
  const silent = perTryIdleMs === 0 ? '' : `, one try without a byte ${duration(perTryIdleMs)}`;
  page.row(
    'timeouts',
    `whole answer ${duration(routeMs)}, one try ${duration(perTryMs)}${silent}, connecting ${duration(connectMs)}, idle ${duration(idleMs)}`,
  );
  page.row(
    'retries',
    retries === null || retries.max === 0
      ? 'none, but of what was provably not processed'
      : `up to ${retries.max}, on ${retries.on.join(', ')}`,
  );
  if (redirects !== '') page.row('redirects', redirects);
}

function endpointText(endpoint: EndpointDescription, paint: Paint): string {
  const { address, health, ejected, ejectedForMs, workload } = endpoint;
  const state = ejected
    ? `ejected for ${duration(ejectedForMs)} more`
    : health === 'UNKNOWN'
      ? 'healthy'
      : health.toLowerCase();
  const painted = isHealthy(endpoint) ? paint.good(state) : paint.bad(state);
  return `  ${address}  ${painted}${workload === '' ? '' : `  ${workload.split(';', 1)[0]}`}`;
}

function verdictPart(page: Page, answer: Answer): void {
  const { paint } = page;
  const { good, lines, advice } = verdictOf(answer);
  page.line('');
  for (const [i, line] of lines.entries())
    page.line(`${i === 0 ? '→' : ' '} ${good ? paint.good(line) : paint.bad(line)}`);
  for (const one of advice) page.line(`  ${one}`);
}
