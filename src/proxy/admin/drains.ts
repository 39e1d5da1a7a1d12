import { formatAddress } from '../../model/address.ts';
import type { DrainingConnection, DrainingListener, DrainView } from './view.ts';

/** `/remora/drain` for people: a line a listener, and under those that drain a line a connection. */
export function drainsText({ state, causes, strategy, listeners }: DrainView): string {
  const why = causes.length === 0 ? '' : ` because of ${causes.join(', ')} (${strategy})`;
  const lines = [`${state}${why}`];
  for (const listener of listeners) {
    lines.push(`${listener.name}: ${aboutListener(listener)}`);
    if (listener.progress === null) continue;
    for (const connection of listener.connections) lines.push(`  ${aboutConnection(connection)}`);
  }
  return `${lines.join('\n')}\n`;
}

export function drainsJson({ state, causes, strategy, listeners }: DrainView): unknown {
  return {
    state,
    causes,
    strategy,
    listeners: listeners.map(({ name, removed, accepting, progress, leftMs, connections }) => ({
      name,
      removed,
      accepting,
      ...(progress === null ? {} : { progress: Number(progress.toFixed(3)), left_ms: Math.round(leftMs ?? 0) }),
      connections: connections.map(({ id, remote, kind, busy, state: departure, inMs }) => ({
        id,
        remote: formatAddress(remote),
        kind,
        busy,
        state: departure,
        ...(inMs === null ? {} : { in_ms: Math.round(inMs) }),
      })),
    })),
  };
}

function aboutListener({ removed, accepting, progress, leftMs, connections }: DrainingListener): string {
  const parts = [accepting ? 'accepting' : 'not accepting', `${connections.length} connections`];
  if (removed) parts.unshift('removed');
  if (progress !== null) parts.push(`${Math.round(progress * 100)} % asked to leave`, `${seconds(leftMs ?? 0)} left`);
  return parts.join(', ');
}

function aboutConnection({ id, remote, kind, busy, state, inMs }: DrainingConnection): string {
  const next = state === 'scheduled' ? ', asked' : state === 'asked' ? ', closed if quiet' : '';
  const when = inMs === null || next === '' ? '' : `${next} in ${seconds(inMs)}`;
  return `C${id} ${formatAddress(remote)} ${kind}${busy ? ' busy' : ''} ${state}${when}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
