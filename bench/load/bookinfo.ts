import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { firstAnswer, freePort, pause } from '../support/ask.ts';
import { type Scenario, SETTLE_MS, type Settings, sampleAll, WARM_UP_SECONDS, withProxy } from '../support/measure.ts';
import { smallBody, startOrigin } from '../support/origin.ts';
import { cpuMicros, memory } from '../support/proc.ts';
import { type Child, LOAD_CORE, start, stop, temporaryFolder } from '../support/processes.ts';
import { BUNDLE, NODE, ROOT } from '../support/programs.ts';
import type { Report } from '../support/report.ts';

const TARGET = { host: 'reviews:9080', target: 'http://reviews:9080/reviews/0' };
/** The instances of the demo; all of them are the same backend here. */
const INSTANCES = ['details-v1', 'ratings-v1', 'reviews-v1', 'reviews-v2', 'reviews-v3', 'productpage-v1'];

/** A sidecar of the demo, with the config that our control server gives Remora and Envoy alike. */
export const bookinfo: Scenario = { name: 'bookinfo', run };

async function run(settings: Settings): Promise<Report> {
  const { rounds, seconds, load } = settings;
  const peers = settings.peers.filter(({ hasControl }) => hasControl);
  const origin = await startOrigin(smallBody.length);
  const control = await startControl(origin.port);
  const site = { backend: origin.port, features: false, control: control.xds };
  const ask = { targets: [TARGET] };
  try {
    const { series, notes } = await sampleAll('bookinfo', peers, settings, (peer) =>
      withProxy(peer, site, async (child, { port }, startedAt) => {
        const first = (await firstAnswer(port, child, TARGET)).at - startedAt;
        await pause(SETTLE_MS);
        const idleRss = memory(child.pid).rss;
        await load.run(port, 64, WARM_UP_SECONDS, ask);
        const before = cpuMicros(child.pid);
        const { answered, failed } = await load.run(port, 64, seconds, ask);
        if (answered === 0) throw new Error(`${peer.name} answered nothing. ${child.complaint()}`);
        const cpu = (cpuMicros(child.pid) - before) / answered;
        const { rss, peak, anonymous, proportional } = memory(child.pid);
        return { first, idleRss, rss, peakRss: peak, anonymous, proportional, cpu, failed };
      }),
    );
    return {
      scenario: 'bookinfo',
      title: `a sidecar with the demo's config from remora control, 64 connections, ${load.name}, medians of ${rounds} × ${seconds} s`,
      columns: [
        { metric: 'rss', title: 'RSS after load MB', digits: 0 },
        { metric: 'idleRss', title: 'idle', digits: 0 },
        { metric: 'peakRss', title: 'peak', digits: 0 },
        { metric: 'anonymous', title: 'of it anonymous', digits: 0 },
        { metric: 'proportional', title: 'PSS', digits: 0 },
        { metric: 'first', title: 'first answer ms', digits: 0 },
        { metric: 'cpu', title: 'CPU µs/request', digits: 1 },
      ],
      compared: 'rss',
      series,
      bars: [
        { text: 'RSS after load at most 1.0 × Envoy', metric: 'rss', against: 'envoy', most: 1 },
        { text: 'first answer at most 1.5 × Envoy', metric: 'first', against: 'envoy', most: 1.5 },
      ],
      notes: load.name === 'wrk' ? notes : [...notes, `${load.name} cannot ask a proxy by URL: the load is wrk's only`],
    };
  } finally {
    await stop(control.child);
    await stop(origin.child);
  }
}

/** A control server on the demo's YAML, with every instance at `backend`. */
async function startControl(backend: number): Promise<{ child: Child; xds: number }> {
  const folder = temporaryFolder();
  const files = join(folder, 'live');
  mkdirSync(files);
  const library = join(ROOT, 'config/bookinfo');
  for (const file of ['services.yaml', 'gateway.yaml', 'destination-rules.yaml']) {
    cpSync(join(library, file), join(files, file));
  }
  cpSync(join(library, 'try/reviews-90-10.yaml'), join(files, 'reviews.yaml'));
  writeFileSync(join(files, 'pods.yaml'), INSTANCES.map((name) => instance(name, backend)).join(''));
  const xds = await freePort();
  const http = await freePort();
  const addresses = ['--xds', `127.0.0.1:${xds}`, '--http', `127.0.0.1:${http}`];
  const child = start('control', [NODE, BUNDLE, 'control', '--files', files, ...addresses], { core: LOAD_CORE });
  for (;;) {
    if (!child.running) throw new Error(`ended at once. ${child.complaint()}`);
    const ready = await fetch(`http://127.0.0.1:${http}/ready`).catch(() => null);
    await ready?.arrayBuffer();
    if (ready?.ok) return { child, xds };
    await pause(20);
  }
}

function instance(name: string, port: number): string {
  const [app, version] = name.split('-');
  return `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${app}, version: ${version} } }
status: { phase: Running, podIP: 127.0.0.1, conditions: [{ type: Ready, status: "True" }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}, namespace: default, labels: { kubernetes.io/service-name: ${app} } }
addressType: IPv4
ports: [{ name: http, port: ${port}, protocol: TCP }]
endpoints:
  - addresses: [127.0.0.1]
    conditions: { ready: true }
    targetRef: { kind: Pod, name: ${name}, namespace: default }
`;
}
