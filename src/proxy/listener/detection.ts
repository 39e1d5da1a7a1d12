import type { Socket } from 'node:net';
import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import type { TcpConnection } from '../tcp/tcp-connection.ts';
import { type ConnectionFacts, type Inspect, type ListenerFilterStep, Verdict } from './listener-filters.ts';

/** How the connections of a listener are looked at; made once for its config. */
export interface DetectionPlan {
  readonly steps: readonly ListenerFilterStep[];
  /** 0: for ever. */
  readonly timeoutMs: number;
  readonly continueOnTimeout: boolean;
  /** The TCP chain's upstream is dialled while the client's first bytes are awaited. */
  readonly race: boolean;
}

/** Why a connection is given up before it has a chain. */
export type GivenUp = 'refused' | 'timeout' | 'remote-close' | 'error' | 'gone';

/** Whom a detection belongs to. */
export interface DetectionHost {
  readonly wheel: TimerWheel;
  /**
   * The upstream of the chain that takes the connection if it is not HTTP, dialled; null when there is none. `later`: HTTP
   * was declared, and it is dialled for a client that has been silent for a while (`waited`).
   */
  dial(detection: Detection, waited: boolean): TcpConnection | 'later' | null;
  /** The filters are done; the socket is the host's again. Called once, or `onGivenUp` is. */
  onDetected(detection: Detection): void;
  /** The socket is destroyed. */
  onGivenUp(detection: Detection, why: GivenUp): void;
}

/** How long an upstream that cannot be reached leaves the client for a request that goes elsewhere. */
const WITHOUT_UPSTREAM_MS = 15_000;
/** How long a client may be silent where HTTP was declared before it is found out whether its server speaks first. */
const DECLARED_HTTP_MS = 100;

/**
 * An accepted connection that has no filter chain yet: its listener filters run in order, each on the bytes so
 * far. All that is received is kept here, which the filters' own limits bound, and handed on as it was.
 */
export class Detection {
  readonly socket: Socket;
  readonly facts: ConnectionFacts;
  /** What the chain is to get first: all bytes that no filter took; null: none. */
  first: Buffer | null = null;
  /** Dialled for it, if it turns out to be TCP. */
  upstream: TcpConnection | null = null;
  /** Nothing was found out in time, and it goes on all the same. */
  timedOut = false;
  /** The upstream spoke before the client had said what it speaks. */
  serverFirst = false;
  readonly #plan: DetectionPlan;
  readonly #host: DetectionHost;
  readonly #timer: WheelTimer;
  /** Not null: HTTP was declared, and the upstream is to be dialled. */
  #later: WheelTimer | null = null;
  /** A server that speaks HTTP is no server that speaks first, whatever it says of a silent client. */
  #serverSpeaksHttp = false;
  #step = 0;
  #inspect: Inspect | null = null;
  #listening = false;
  #over = false;
  #serverFailed = false;
  /** Received bytes; those from `#end` on are room to grow. */
  #room: Buffer = NOTHING;
  #end = 0;

  constructor(socket: Socket, facts: ConnectionFacts, plan: DetectionPlan, host: DetectionHost) {
    this.socket = socket;
    this.facts = facts;
    this.#plan = plan;
    this.#host = host;
    this.#timer = new WheelTimer(() => this.#onTimeout());
  }

  /** Runs the filters; the host hears of the end, perhaps before this returns. */
  start(): void {
    this.#next();
  }

  /** The listener goes: who has said nothing yet is sent away, as idle connections are. */
  drain(): void {
    if (this.#end === 0) this.destroy();
  }
  destroy(): void {
    this.#giveUp('gone');
  }

  #next(): void {
    const { steps } = this.#plan;
    while (this.#step < steps.length) {
      const step = steps[this.#step++]!;
      if (step.disabled?.(this.facts.local.port)) continue;
      const inspect = step.begin(this.facts, this.socket);
      if (inspect === null) continue;
      if (inspect === 'close') {
        this.#giveUp('refused');
        return;
      }
      this.#inspect = inspect;
      if (!this.#run(step.kind !== 'proxy-protocol')) return;
    }
    this.#finish();
  }

  /** Asks the filter at work; true: it is done. `race`: bytes for it can be raced against the server's. */
  #run(race: boolean): boolean {
    const verdict = this.#end === 0 ? Verdict.More : this.#inspect!(this.#bytes());
    if (verdict === Verdict.Close) {
      this.#giveUp('refused');
      return false;
    }
    if (verdict === Verdict.More) {
      this.#wait(race);
      return false;
    }
    this.#take(verdict);
    this.#inspect = null;
    return true;
  }

  #wait(race: boolean): void {
    if (!this.#listening) this.#listen();
    if (race && this.#plan.race && this.upstream === null && !this.#serverSpeaksHttp) this.#dial();
    if (this.#over) return;
    // Both sides silent is no attack and no error where the server may speak first: it waits as any TCP does.
    if (this.upstream !== null && !this.#serverFailed && this.#end === 0) this.#host.wheel.disarm(this.#timer);
    else this.#armTimer();
  }

  #dial(waited = false): void {
    const dialled = this.#host.dial(this, waited);
    if (dialled !== 'later') this.upstream = dialled;
    else if (this.#later === null) {
      this.#later = new WheelTimer(() => {
        this.#dial(true);
        if (!this.#over && this.upstream !== null && this.#end === 0) this.#host.wheel.disarm(this.#timer);
      });
      this.#host.wheel.arm(this.#later, DECLARED_HTTP_MS);
    }
  }

  #armTimer(): void {
    const { timeoutMs } = this.#plan;
    const ms = this.upstream === null ? timeoutMs : timeoutMs || WITHOUT_UPSTREAM_MS;
    if (!this.#timer.isArmed && ms > 0) this.#host.wheel.arm(this.#timer, ms);
  }

  #listen(): void {
    this.#listening = true;
    this.socket.on('data', this.#onData);
    this.socket.on('end', this.#onEnd);
    this.socket.on('error', this.#onError);
    this.socket.on('close', this.#onClose);
  }

  #stopListening(): void {
    this.#host.wheel.release(this.#timer);
    if (this.#later !== null) this.#host.wheel.release(this.#later);
    if (!this.#listening) return;
    this.#listening = false;
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onEnd);
    this.socket.off('error', this.#onError);
    this.socket.off('close', this.#onClose);
  }

  /** The upstream that was dialled has bytes, or ended: whatever the client says, it is TCP. */
  onServerSpoke(first: Buffer | null): void {
    if (this.#over) return;
    if (this.#later !== null && (first === null || first.toString('latin1', 0, 7) === 'HTTP/1.')) {
      // It has lost its patience with the client, which is no reason for us to.
      this.#serverSpeaksHttp = true;
      this.upstream?.abandon();
      this.upstream = null;
      this.#armTimer();
      return;
    }
    this.serverFirst = true;
    this.#finish();
  }

  /** The upstream cannot be reached: the client may still mean another one, by HTTP. */
  onServerFailed(): void {
    this.#serverFailed = true;
    // While it is being dialled the timer is armed by whoever dials.
    if (!this.#over && this.upstream !== null) this.#armTimer();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#append(chunk);
    if (this.#run(this.upstream !== null)) this.#next();
  };

  readonly #onEnd = (): void => {
    // Not HTTP, which would have begun with a line that ends; where TCP may be meant, its FIN belongs to it.
    if (this.upstream !== null) this.#finish();
    else this.#giveUp('remote-close');
  };

  readonly #onError = (): void => this.#giveUp('error');
  readonly #onClose = (): void => this.#giveUp('remote-close');

  #onTimeout(): void {
    const raced = this.upstream !== null && this.#end > 0;
    this.timedOut = this.#plan.continueOnTimeout;
    if (this.#plan.continueOnTimeout || raced) this.#finish();
    else this.#giveUp('timeout');
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopListening();
    if (this.#end > 0) this.first = this.#bytes();
    if (this.facts.transportProtocol === '') this.facts.transportProtocol = 'raw_buffer';
    this.#host.onDetected(this);
  }

  #giveUp(why: GivenUp): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopListening();
    // Without a listener an error that is still to come would end the process.
    this.socket.on('error', ignore);
    this.socket.destroy();
    this.upstream?.abandon();
    this.#host.onGivenUp(this, why);
  }

  #bytes(): Buffer {
    return this.#room.subarray(0, this.#end);
  }

  #append(chunk: Buffer): void {
    const end = this.#end + chunk.length;
    if (this.#end === 0) this.#room = chunk;
    else if (end <= this.#room.length) chunk.copy(this.#room, this.#end);
    else {
      // Room for more: bytes that trickle in are not copied again for each.
      const room = Buffer.allocUnsafe(end * 2);
      this.#room.copy(room, 0, 0, this.#end);
      chunk.copy(room, this.#end);
      this.#room = room;
    }
    this.#end = end;
  }

  #take(count: number): void {
    this.#room = this.#room.subarray(count);
    this.#end -= count;
  }
}

const NOTHING = Buffer.alloc(0);

function ignore(): void {}
