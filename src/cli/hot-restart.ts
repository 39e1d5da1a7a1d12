import { spawn } from 'node:child_process';
import { Command } from 'commander';
import { stayAlive, systemClock } from '../base/clock.ts';
import { LogRoot } from '../base/log.ts';
import type { ToSupervisor } from '../proxy/runtime/hot-restart.ts';
import { type KeptSocket, type ProxyProcess, Supervisor } from './supervisor.ts';

const FLAG = '--hot-restart';

/** `remora proxy --hot-restart …`: a supervisor, which starts `remora proxy …` with the same flags. */
export function supervisorCommand(): Command {
  return new Command('proxy')
    .option(FLAG)
    .option('--parent-shutdown-time-s <seconds>', '', '900')
    .allowUnknownOption()
    .argument('[flags...]')
    .helpOption(false)
    .action((_flags: string[], { parentShutdownTimeS }: { parentShutdownTimeS: string }) => {
      supervise(process.argv.slice(3), Number(parentShutdownTimeS) * 1000);
    });
}

function supervise(args: readonly string[], shutdownMs: number): void {
  const log = new LogRoot(systemClock, (line) => process.stderr.write(line)).logger('supervisor');
  // Between a crash and the next start there is nothing else.
  stayAlive();
  const given = args.filter((arg) => arg !== FLAG);
  const supervisor = new Supervisor({
    clock: systemClock,
    log,
    shutdownMs: Number.isFinite(shutdownMs) ? shutdownMs : 0,
    start: (epoch) => startProxy([...given, '--restart-epoch', String(epoch)]),
    exit: (code) => process.exit(code),
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => supervisor.stop(signal));
  process.on('SIGUSR1', () => supervisor.reopenLogs());
  process.on('SIGHUP', () => supervisor.restart());
  supervisor.start();
}

/** The file is looked up again at each start: a new build in its place, or behind a link, is what starts. */
function startProxy(args: readonly string[]): ProxyProcess {
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, 'proxy', ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    // Ctrl-C is for the supervisor, which passes it on.
    detached: true,
  });
  // 'exit' follows, or has come.
  child.on('error', () => {});
  return {
    pid: child.pid ?? 0,
    send(message, socket) {
      if (child.connected) child.send(message, socket as never);
    },
    onMessage(listener) {
      child.on('message', (message, handle) => listener(message as ToSupervisor, handle as KeptSocket | undefined));
    },
    onExit(listener) {
      let told = false;
      const tell = (code: number | null, signal: string | null): void => {
        if (!told) listener(code, signal);
        told = true;
      };
      child.on('exit', tell);
      child.on('error', () => {
        if (child.pid === undefined) tell(1, null);
      });
    },
    kill(signal) {
      child.kill(signal);
    },
  };
}
