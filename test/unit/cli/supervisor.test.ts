import { beforeEach, describe, expect, it } from 'vitest';
import { LogRoot } from '../../../src/base/log.ts';
import { type KeptSocket, type ProxyProcess, Supervisor } from '../../../src/cli/supervisor.ts';
import type { FromSupervisor, ToSupervisor } from '../../../src/proxy/runtime/hot-restart.ts';
import { type ManualClock, manualClock } from '../../support/clock.ts';

/** A process that does what the test says. */
class FakeProcess implements ProxyProcess {
  readonly pid: number;
  readonly told: FromSupervisor[] = [];
  readonly sockets: (KeptSocket | undefined)[] = [];
  readonly signals: string[] = [];
  #message: (message: ToSupervisor, socket: KeptSocket | undefined) => void = () => {};
  #exit: (code: number | null, signal: string | null) => void = () => {};

  constructor(pid: number) {
    this.pid = pid;
  }
  send(message: FromSupervisor, socket?: KeptSocket): void {
    this.told.push(message);
    this.sockets.push(socket);
  }
  onMessage(listener: typeof this.say): void {
    this.#message = listener;
  }
  onExit(listener: (code: number | null, signal: string | null) => void): void {
    this.#exit = listener;
  }
  kill(signal: string): void {
    this.signals.push(signal);
  }
  say(message: ToSupervisor, socket?: KeptSocket | undefined): void {
    this.#message(message, socket);
  }
  end(code: number | null, signal: string | null = null): void {
    this.#exit(code, signal);
  }
  get types(): string[] {
    return this.told.map(({ type }) => type);
  }
}

class FakeSocket implements KeptSocket {
  closed = false;
  close(): void {
    this.closed = true;
  }
}

let clock: ManualClock;
let processes: FakeProcess[];
let exits: number[];
let lines: string[];
let supervisor: Supervisor;

beforeEach(() => {
  clock = manualClock();
  processes = [];
  exits = [];
  lines = [];
  supervisor = new Supervisor({
    clock,
    log: new LogRoot(clock, (line) => lines.push(line)).logger(),
    start(epoch) {
      const made = new FakeProcess(epoch);
      processes.push(made);
      return made;
    },
    exit: (code) => exits.push(code),
    shutdownMs: 60_000,
  });
  supervisor.start();
});

/** The first process serves, and listens on this. */
function serving(): FakeSocket {
  const socket = new FakeSocket();
  processes[0]!.say({ type: 'keep', key: 'a:1' }, socket);
  processes[0]!.say({ type: 'ready' });
  processes[0]!.say({ type: 'settled' });
  return socket;
}

describe('a hot restart', () => {
  it('gives the sockets to the next, and lets it serve once the one before accepts no more', () => {
    const socket = serving();
    expect(processes[0]!.told[0]).toMatchObject({ type: 'start', alone: true });
    clock.advance(5000);
    supervisor.restart();
    const [before, next] = processes as [FakeProcess, FakeProcess];
    expect(next.told[0]).toEqual({ type: 'start', alone: false, startedAt: clock.wall() - 5000 });
    next.say({ type: 'take', key: 'a:1' });
    next.say({ type: 'take', key: 'b:2' });
    expect(next.told.slice(1)).toEqual([
      { type: 'socket', key: 'a:1', found: true },
      { type: 'socket', key: 'b:2', found: false },
    ]);
    expect(next.sockets[1]).toBe(socket);
    expect(before.types).not.toContain('leave');
    next.say({ type: 'ready' });
    expect(before.types).toContain('leave');
    expect(next.types).not.toContain('serve');
    before.say({ type: 'left' });
    expect(next.types).toContain('serve');
    before.end(0);
    expect([exits, socket.closed]).toEqual([[], false]);
  });

  it('closes what the next did not take, when that has all it needs', () => {
    const socket = serving();
    supervisor.restart();
    processes[1]!.say({ type: 'ready' });
    processes[0]!.say({ type: 'left' });
    expect(socket.closed).toBe(false);
    processes[1]!.say({ type: 'settled' });
    expect(socket.closed).toBe(true);
  });

  it('does not wait for one that hangs, neither to leave nor to end', () => {
    serving();
    supervisor.restart();
    processes[1]!.say({ type: 'ready' });
    clock.advance(4999);
    expect(processes[1]!.types).not.toContain('serve');
    clock.advance(1);
    expect(processes[1]!.types).toContain('serve');
    clock.advance(59_999);
    expect(processes[0]!.signals).toEqual([]);
    clock.advance(1);
    expect(processes[0]!.signals).toEqual(['SIGKILL']);
  });

  it('changes nothing when the next does not come up', () => {
    const socket = serving();
    supervisor.restart();
    processes[1]!.end(2);
    expect(processes[0]!.types).not.toContain('leave');
    expect([exits, socket.closed]).toEqual([[], false]);
    expect(lines.at(-1)).toContain('the next process ended with code 2 before it was ready: nothing changes');
    supervisor.restart();
    expect(processes).toHaveLength(3);
  });

  it('gives up a start that came to nothing for a newer one', () => {
    serving();
    supervisor.restart();
    supervisor.restart();
    expect(processes[1]!.signals).toEqual(['SIGKILL']);
    processes[1]!.say({ type: 'ready' });
    expect(processes[0]!.types).not.toContain('leave');
    processes[2]!.say({ type: 'ready' });
    expect(processes[0]!.types).toContain('leave');
  });

  it('the one before dies while it is asked to leave: the next serves', () => {
    serving();
    supervisor.restart();
    processes[1]!.say({ type: 'ready' });
    processes[0]!.end(null, 'SIGSEGV');
    expect(processes[1]!.types).toContain('serve');
    expect(processes).toHaveLength(2);
  });
});

it('what one that leaves has counted goes to the one that takes over, and from nobody to nobody else', () => {
  serving();
  const counted = { type: 'counted' as const, counted: [] };
  processes[0]!.say(counted);
  supervisor.restart();
  const [before, next] = processes as [FakeProcess, FakeProcess];
  next.say({ type: 'ready' });
  before.say(counted);
  expect(next.types.filter((type) => type === 'counted')).toHaveLength(1);
  before.say({ type: 'left' });
  expect(next.types.slice(-2)).toEqual(['counted', 'serve']);
  // While it drains.
  before.say(counted);
  expect(next.types.at(-1)).toBe('counted');
  expect(before.types).not.toContain('counted');
});

describe('while one takes over from another', () => {
  beforeEach(() => {
    serving();
    supervisor.restart();
    processes[1]!.say({ type: 'ready' });
  });

  it('a further restart waits until that is done', () => {
    supervisor.restart();
    supervisor.restart();
    expect(processes[1]!.signals).toEqual([]);
    expect(processes).toHaveLength(2);
    processes[0]!.say({ type: 'left' });
    expect(processes[1]!.types).toContain('serve');
    expect(processes).toHaveLength(3);
    processes[0]!.end(0);
    processes[2]!.say({ type: 'ready' });
    processes[1]!.say({ type: 'left' });
    expect(processes[2]!.types).toContain('serve');
    expect([processes.length, exits]).toEqual([3, []]);
  });

  it('the next dies: another is started, for the one before does not come back, and its end is not ours', () => {
    processes[1]!.end(null, 'SIGKILL');
    expect(lines.at(-1)).toContain('the proxy ended by SIGKILL: it is started again inMs=100');
    processes[0]!.say({ type: 'left' });
    processes[0]!.end(0);
    expect([processes[0]!.signals, exits]).toEqual([[], []]);
    clock.advance(100);
    expect(processes[2]!.told[0]).toMatchObject({ type: 'start', alone: true });
    processes[2]!.say({ type: 'ready' });
    expect(processes[2]!.types).toContain('serve');
  });
});

describe('sockets', () => {
  it('one that nobody listens on any more is closed, so that clients are refused', () => {
    const socket = serving();
    processes[0]!.say({ type: 'release', key: 'a:1' });
    expect(socket.closed).toBe(true);
  });

  it('one that the next has taken stays, though the one before dropped it', () => {
    const socket = serving();
    supervisor.restart();
    processes[1]!.say({ type: 'take', key: 'a:1' });
    processes[0]!.say({ type: 'release', key: 'a:1' });
    expect(socket.closed).toBe(false);
  });

  it('what a process says that has been replaced does not count', () => {
    const socket = serving();
    supervisor.restart();
    processes[1]!.say({ type: 'take', key: 'a:1' });
    processes[1]!.say({ type: 'ready' });
    processes[0]!.say({ type: 'left' });
    processes[0]!.say({ type: 'release', key: 'a:1' });
    const late = new FakeSocket();
    processes[0]!.say({ type: 'keep', key: 'a:1' }, late);
    expect([socket.closed, late.closed]).toEqual([false, true]);
  });

  it('one that is bound again takes the place of the old', () => {
    const [socket, again] = [serving(), new FakeSocket()];
    processes[0]!.say({ type: 'keep', key: 'a:1' }, again);
    expect([socket.closed, again.closed]).toEqual([true, false]);
  });
});

it('access logs are opened anew by all but one that only starts', () => {
  serving();
  supervisor.restart();
  supervisor.reopenLogs();
  expect(processes.map(({ signals }) => signals)).toEqual([['SIGUSR1'], []]);
});

describe('the end', () => {
  it('a start that never worked is ours too', () => {
    processes[0]!.end(2);
    expect(exits).toEqual([2]);
  });

  it('a crash is started again, later and later, with the sockets kept', () => {
    const socket = serving();
    processes[0]!.end(null, 'SIGSEGV');
    expect(lines.at(-1)).toContain('the proxy ended by SIGSEGV: it is started again inMs=100');
    clock.advance(99);
    expect(processes).toHaveLength(1);
    clock.advance(1);
    expect(processes[1]!.told[0]).toMatchObject({ type: 'start', alone: true });
    processes[1]!.say({ type: 'take', key: 'a:1' });
    expect(processes[1]!.sockets[1]).toBe(socket);
    processes[1]!.end(1);
    clock.advance(199);
    expect(processes).toHaveLength(2);
    clock.advance(1);
    expect(processes).toHaveLength(3);
    processes[2]!.say({ type: 'ready' });
    clock.advance(60_000);
    processes[2]!.end(1);
    clock.advance(100);
    expect(processes).toHaveLength(4);
    expect(exits).toEqual([]);
  });

  it('a proxy that was asked to quit ends all', () => {
    serving();
    processes[0]!.end(0);
    expect(exits).toEqual([0]);
  });

  it('a signal goes to all, and the end of the last is ours', () => {
    serving();
    supervisor.restart();
    processes[1]!.say({ type: 'ready' });
    processes[0]!.say({ type: 'left' });
    supervisor.stop('SIGTERM');
    supervisor.restart();
    expect(processes.map(({ signals }) => signals)).toEqual([['SIGTERM'], ['SIGTERM']]);
    processes[1]!.end(0);
    expect(exits).toEqual([]);
    processes[0]!.end(0);
    expect(exits).toEqual([0]);
  });
});
