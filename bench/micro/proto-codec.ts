/**
 * What the xDS codec costs, beside protobufjs on the same protos: at start-up (a bundle that decodes a
 * bootstrap, each run in a process of its own, against an empty script) and per message.
 * Run as `node bench/micro/proto-codec.ts`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { decode, encode, fromJson, Problems, pack } from '../../src/xds/proto/codec.ts';
import { Bootstrap } from '../../src/xds/proto/gen/envoy/config/bootstrap/v3.ts';
import { ClusterLoadAssignment } from '../../src/xds/proto/gen/envoy/config/endpoint/v3.ts';
import { RouteConfiguration } from '../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { Router } from '../../src/xds/proto/gen/envoy/extensions/filters/http/router/v3.ts';
import { HttpConnectionManager } from '../../src/xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { load } from '../../src/xds/proto/generator/load.ts';
import type { MessageType } from '../../src/xds/proto/message-type.ts';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const proto = `${repository}src/xds/proto`;

const routes: RouteConfiguration = {
  name: '9080',
  virtual_hosts: Array.from({ length: 200 }, (_, i) => ({
    name: `service-${i}.default.svc.cluster.local:9080`,
    domains: [`service-${i}`, `service-${i}.default`, `service-${i}.default.svc.cluster.local`, `10.96.0.${i}:9080`],
    routes: [
      {
        match: { prefix: '/api', headers: [{ name: 'end-user', string_match: { exact: 'jason' } }] },
        route: {
          cluster: `outbound|9080|v2|service-${i}`,
          timeout: 2500,
          retry_policy: { retry_on: '5xx', num_retries: 2 },
        },
      },
      { match: { prefix: '/' }, route: { cluster: `outbound|9080||service-${i}`, timeout: 0 } },
    ],
  })),
};

const endpoints: ClusterLoadAssignment = {
  cluster_name: 'outbound|9080||reviews',
  endpoints: [
    {
      locality: { region: 'eu', zone: 'a' },
      lb_endpoints: Array.from({ length: 1000 }, (_, i) => ({
        endpoint: { address: { socket_address: { address: `10.0.${i >> 8}.${i & 255}`, port_value: 9080 } } },
        load_balancing_weight: 1,
        health_status: 'HEALTHY',
      })),
    },
  ],
};

const bootstrap: Bootstrap = {
  node: { id: 'sidecar~10.0.0.1', cluster: 'reviews', metadata: { CLUSTER_ID: 'Kubernetes' } },
  static_resources: {
    listeners: ['in', 'out'].map((name, i) => ({
      name,
      address: { socket_address: { address: '0.0.0.0', port_value: 15_001 + i } },
      filter_chains: [
        {
          filters: [
            {
              name: 'hcm',
              typed_config: pack(HttpConnectionManager, {
                stat_prefix: name,
                route_config: { ...routes, virtual_hosts: routes.virtual_hosts?.slice(0, 10) ?? [] },
                http_filters: [{ name: 'router', typed_config: pack(Router, {}) }],
              }),
            },
          ],
        },
      ],
    })),
    clusters: Array.from({ length: 10 }, (_, i) => ({
      name: `c${i}`,
      connect_timeout: 250,
      lb_policy: 'ROUND_ROBIN',
      load_assignment: { ...endpoints, endpoints: [] },
    })),
  },
};

const dir = mkdtempSync(path.join(tmpdir(), 'proto-codec-'));
try {
  startUp();
  throughput();
} finally {
  rmSync(dir, { recursive: true, force: true });
}

function startUp(): void {
  writeFileSync(path.join(dir, 'bootstrap.bin'), encode(Bootstrap, bootstrap));
  writeFileSync(path.join(dir, 'descriptor.json'), JSON.stringify(load().root.toJSON()));
  const read = `import { readFileSync } from 'node:fs'; const bytes = readFileSync('bootstrap.bin');`;
  const scripts: Record<string, string> = {
    'an empty script': read,
    'ours: import, decode, unpack': `${read}
      import { decode, Problems, unpack } from '${proto}/codec.ts';
      import { Bootstrap } from '${proto}/gen/envoy/config/bootstrap/v3.ts';
      import { Listener } from '${proto}/gen/envoy/config/listener/v3.ts';
      import { RouteConfiguration } from '${proto}/gen/envoy/config/route/v3.ts';
      import { Cluster } from '${proto}/gen/envoy/config/cluster/v3.ts';
      import { ClusterLoadAssignment } from '${proto}/gen/envoy/config/endpoint/v3.ts';
      import { HttpConnectionManager } from '${proto}/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
      const problems = new Problems();
      const bootstrap = decode(Bootstrap, bytes, problems);
      for (const listener of bootstrap.static_resources.listeners) {
        for (const filter of listener.filter_chains[0].filters) unpack(filter.typed_config, HttpConnectionManager, problems, '');
      }
      if (!problems.ok) throw new Error(JSON.stringify(problems.list));
      globalThis.keep = [Listener, RouteConfiguration, Cluster, ClusterLoadAssignment, bootstrap];`,
    'protobufjs/light, JSON descriptor': `${read}
      import protobuf from 'protobufjs/light.js';
      const root = protobuf.Root.fromJSON(JSON.parse(readFileSync('descriptor.json', 'utf8')));
      const bootstrap = root.lookupType('envoy.config.bootstrap.v3.Bootstrap').decode(bytes);
      const hcm = root.lookupType('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager');
      for (const listener of bootstrap.static_resources.listeners) {
        for (const filter of listener.filter_chains[0].filters) hcm.decode(filter.typed_config.value);
      }
      globalThis.keep = bootstrap;`,
  };
  console.log('start-up, medians of 15            wall ms  CPU ms  RSS MB');
  for (const [name, source] of Object.entries(scripts)) {
    const outfile = path.join(dir, 'script.mjs');
    const report = `const cpu = process.cpuUsage(); console.log(JSON.stringify([performance.now(), (cpu.user + cpu.system) / 1e3, process.memoryUsage.rss() / 1e6]));`;
    const banner = {
      js: `import { createRequire } from 'node:module'; const require = createRequire('${repository}');`,
    };
    buildSync({
      stdin: { contents: `${source}\n${report}`, resolveDir: repository },
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'node',
      minify: true,
      banner,
    });
    const runs = Array.from({ length: 15 }, () => measureScript(outfile));
    const columns = [0, 1, 2].map((column) => median(runs.map((run) => run[column] ?? Number.NaN)));
    console.log(name.padEnd(34) + columns.map((value) => value.toFixed(1).padStart(8)).join(''));
  }
}

function measureScript(file: string): number[] {
  return JSON.parse(execFileSync(process.execPath, [file], { cwd: dir, encoding: 'utf8' })) as number[];
}

function throughput(): void {
  const { root } = load();
  const measure = <T>(name: string, type: MessageType<T>, value: T): void => {
    const bytes = encode(type, value);
    const theirs = root.lookupType(type.typeName);
    const decoded = theirs.decode(bytes);
    const json: unknown = theirs.toObject(decoded, { enums: String, json: true });
    const row = [
      perCall(() => decode(type, bytes, new Problems(), '', { validate: false })),
      perCall(() => decode(type, bytes, new Problems())),
      perCall(() => theirs.decode(bytes)),
      perCall(() => encode(type, value)),
      perCall(() => theirs.encode(decoded).finish()),
      perCall(() => fromJson(type, json, new Problems())),
    ];
    console.log(
      `${name.padEnd(24)} ${String(bytes.length).padStart(7)} ${row.map((us) => us.toFixed(0).padStart(9)).join('')}`,
    );
  };
  console.log('\nµs a message               bytes   decode  +rules   pbjs    encode    pbjs  fromJson');
  measure('200 virtual hosts', RouteConfiguration, routes);
  measure('1000 endpoints', ClusterLoadAssignment, endpoints);
}

function perCall(run: () => unknown): number {
  for (let i = 0; i < 50; i++) run();
  const samples = Array.from({ length: 30 }, () => {
    const start = performance.now();
    for (let i = 0; i < 5; i++) run();
    return ((performance.now() - start) / 5) * 1000;
  });
  return median(samples);
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
