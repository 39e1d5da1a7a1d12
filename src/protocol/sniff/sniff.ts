/**
 * What first bytes say about a protocol. A sniffer is given everything received so far, again and again, until it
 * answers something else than `more`.
 */
export type Sniff<T> =
  /** Everything so far could be its beginning. */
  | { readonly kind: 'more' }
  /** Another protocol. */
  | { readonly kind: 'no' }
  /** `length`: how many bytes from the start it takes. */
  | { readonly kind: 'found'; readonly value: T; readonly length: number }
  /** It says it is the protocol, and breaks its rules, or is larger than is read for detection. */
  | { readonly kind: 'malformed'; readonly reason: string; readonly tooLarge: boolean };

export const MORE = { kind: 'more' } as const;
export const NO = { kind: 'no' } as const;

export function malformed(reason: string): Sniff<never> {
  return { kind: 'malformed', reason, tooLarge: false };
}
export function tooLarge(reason: string): Sniff<never> {
  return { kind: 'malformed', reason, tooLarge: true };
}
