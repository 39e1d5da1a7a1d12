import { realpathSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { messageOf } from '../../base/errors.ts';
import { runChecks } from './checks.ts';
import { DemoMesh, pause } from './mesh.ts';
import { describeSplit, type Visit, Visitor } from './visitor.ts';

interface DemoFlags {
  readonly port: number;
  readonly once?: boolean;
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('run Bookinfo on a mesh on this machine')
    .option('--port <port>', 'port of the ingress gateway; another is picked when it is taken', portOf, 8080)
    .option('--once', 'check every feature end to end, print what was seen, and exit 0 or 1')
    .addHelpText('after', '\nExamples:\n  remora demo\n  remora demo --once')
    .action(runDemo);
}

function portOf(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new InvalidArgumentError('must be a port, 0 to 65535');
  return port;
}

async function runDemo(flags: DemoFlags): Promise<void> {
  const mesh = new DemoMesh(realpathSync(process.argv[1]!), flags.once ? `demo-once-${process.pid}` : 'demo');
  const interrupted = onceInterrupted();
  let failed = false;
  try {
    print(
      flags.once
        ? 'Starting Bookinfo on a mesh …'
        : 'Starting Bookinfo on a mesh (control server, gateway, 6 services, 6 sidecars) …',
    );
    const begin = performance.now();
    const started = mesh.start(flags.once ? 0 : flags.port);
    if ((await Promise.race([started.then(() => 'up'), interrupted])) === 'up') {
      print(`up after ${((performance.now() - begin) / 1000).toFixed(1)} s`);
      if (flags.once) failed = (await Promise.race([runChecks(mesh, print), interrupted.then(() => 1)])) > 0;
      else await present(mesh, flags.port, interrupted);
    }
  } catch (error) {
    process.stderr.write(`remora demo: ${messageOf(error)}\n`);
    failed = true;
  } finally {
    await mesh.stop();
  }
  process.exit(failed ? 1 : 0);
}

function onceInterrupted(): Promise<'interrupted'> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve('interrupted'));
  });
}

async function present(mesh: DemoMesh, wantedPort: number, interrupted: Promise<unknown>): Promise<void> {
  if (wantedPort !== 0 && mesh.gatewayPort !== wantedPort)
    print(`port ${wantedPort} is taken, so the gateway listens on ${mesh.gatewayPort}`);
  const library = mesh.library.startsWith(`${process.cwd()}/`)
    ? mesh.library.slice(process.cwd().length + 1)
    : mesh.library;
  print(`
  The page        ${mesh.url}/productpage   (sign in as jason, no password)
  The mesh's YAML ${mesh.live}
  Logs            ${mesh.processes.logFolder}   (*.log: a line for each request and its response flags)

  Change the mesh while it runs, and watch the split below:
    cp ${library}/try/reviews-v1.yaml        ${mesh.live}/reviews.yaml
    cp ${library}/try/reviews-90-10.yaml     ${mesh.live}/reviews.yaml
    cp ${library}/try/reviews-50-v2-v3.yaml  ${mesh.live}/reviews.yaml
    cp ${library}/try/reviews-jason-v2.yaml  ${mesh.live}/reviews.yaml
    cp ${library}/try/ratings-delay.yaml     ${mesh.live}/ratings.yaml
    cp ${library}/try/rate-limit.yaml        ${mesh.live}/rate-limit.yaml
  More in ${library}/README.md. Any program joins: npx remora run --service NAME -- CMD
  Why a request goes where it goes: npx remora explain GET http://reviews:9080/reviews/0 --from productpage-v1

  Ctrl-C ends it all.
`);
  const visitor = new Visitor(mesh.url);
  let recent: Visit[] = [];
  let shown = '';
  let over = false;
  void interrupted.then(() => {
    over = true;
  });
  while (!over) {
    const visit = await visitor.reviews().catch(() => null);
    if (visit !== null) recent = [...recent.slice(-39), visit];
    // A limited mesh is left to the people who try the limit out.
    if (visit?.status === 429) await Promise.race([pause(15_000), interrupted]);
    // A change shows itself in the last few visits first; the long window steadies what is printed.
    const window = differs(recent) ? recent.slice(-10) : recent;
    const split = describeSplit(window);
    if (window.length >= 10 && rough(split) !== rough(shown)) {
      shown = split;
      print(`${new Date().toLocaleTimeString()}  reviews: ${split}`);
    }
    await Promise.race([pause(200), interrupted]);
  }
}

/** Whether the last ten visits met other versions or errors than those before. */
function differs(visits: readonly Visit[]): boolean {
  const kinds = (some: readonly Visit[]): string =>
    [...new Set(some.map((visit) => visit.version || visit.status))].sort().join();
  return visits.length > 10 && kinds(visits.slice(-10)) !== kinds(visits);
}

/** A split to the nearest fifth, so that chance alone prints nothing. */
function rough(split: string): string {
  return split.replace(/\d+ %/g, (share) => String(Math.round(Number.parseInt(share, 10) / 25)));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
