import type { Explanation, ListenerExplanation } from '../../proxy/admin/explain.ts';

/** What is asked, whatever answers. */
export interface Question {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Workload whose proxy is asked; absent: the one that such a request would meet first. */
  readonly from?: string;
  readonly namespace: string;
  /** Absent: the one that the request would come to. */
  readonly listener?: string;
}

/** What a policy adds that no route shows, in words, with the object that says so. */
export interface Policy {
  readonly says: string;
  /** `ResiliencePolicy default/limit (limit.yaml:4)`; '' unknown. */
  readonly origin: string;
}

/** What only the config itself tells: a running proxy's admin port knows less. */
export interface Details {
  /** Where a redirect leads, in words; '' for none. */
  readonly redirect: string;
  /** By cluster: limits and ejection. */
  readonly clusters: Readonly<Record<string, readonly string[]>>;
  /** Limits here, and at the other end. */
  readonly policies: readonly Policy[];
}

export const NO_DETAILS: Details = { redirect: '', clusters: {}, policies: [] };

/** The whole of what `remora explain` says; `-o json` prints it as it is. */
export interface Answer {
  /** `the gateway`, `the sidecar of productpage-v1 (namespace default)`, `the proxy at 127.0.0.1:15000`. */
  readonly asked: string;
  /** Where its config comes from. */
  readonly source: string;
  readonly request: Explanation['request'] & { readonly headers: Question['headers'] };
  /** Null where the proxy has none. */
  readonly listener: ListenerExplanation | null;
  /** Names of the others. */
  readonly otherListeners: readonly string[];
  readonly details: Details;
  /** Worth knowing before the answer is believed. */
  readonly notes: readonly string[];
}

export function answerOf(
  question: Question,
  explanation: Explanation,
  about: Pick<Answer, 'asked' | 'source' | 'notes'>,
  detailsOf: (listener: ListenerExplanation) => Details,
): Answer {
  const listener = chooseListener(explanation.listeners, question);
  const notes = [...about.notes];
  if (question.listener !== undefined && listener === null) {
    const names = explanation.listeners.map((one) => one.listener).join(', ') || 'none';
    notes.push(`${about.asked} has no listener ${question.listener}: there is ${names}`);
  }
  return {
    asked: about.asked,
    source: about.source,
    request: { ...explanation.request, headers: question.headers },
    listener,
    otherListeners: explanation.listeners.filter((one) => one !== listener).map((one) => one.listener),
    details: listener === null ? NO_DETAILS : detailsOf(listener),
    notes,
  };
}

/** The listener that a client would reach: by name, else by the URL's port, else the first that knows what to do. */
export function chooseListener(
  all: readonly ListenerExplanation[],
  { listener, url }: Pick<Question, 'listener' | 'url'>,
): ListenerExplanation | null {
  if (listener !== undefined) return all.find((one) => one.listener === listener) ?? null;
  const inward = all.filter(({ direction }) => direction !== 'INBOUND');
  const candidates = inward.length === 0 ? all : inward;
  const port = portOf(url);
  const atPort = candidates.find(({ addresses }) => addresses.some((address) => address.endsWith(`:${port}`)));
  return atPort ?? candidates.find(({ route }) => route !== null) ?? candidates[0] ?? null;
}

/** The port that a client would connect to. */
function portOf(url: string): number {
  const match = /^(https?:\/\/)?(?:\[[^\]]*\]|[^/:?#]*)(?::(\d+))?/i.exec(url);
  if (match?.[2] !== undefined) return Number(match[2]);
  return match?.[1]?.toLowerCase() === 'https://' ? 443 : 80;
}

/** Host of a URL without its port, lower case; '' for a path. */
export function hostOf({ url, headers }: Pick<Question, 'url' | 'headers'>): string {
  const own = headers.find(([name]) => name.toLowerCase() === 'host')?.[1];
  const authority = own ?? /^(?:https?:\/\/)?([^/?#]*)/i.exec(url)?.[1] ?? '';
  return authority
    .toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1');
}
