import type { Listener } from '../../model/listener.ts';

/** What becomes of a connection that was accepted. */
export const Verdict = {
  Serve: 0,
  /** It waits, unread, until there is room: as in the kernel's queue. */
  Hold: 1,
  /** Refused: the process has as many connections as it may. */
  Overflow: 2,
  /** Refused by the overload manager. */
  Reject: 3,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Whether the process has room for connections; one for all listeners. */
export interface Admission {
  judge(config: Listener): Verdict;
  /** A connection was taken, served or held; `closed` when it is gone. */
  opened(): void;
  closed(): void;
}
