import { readFileSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';
import { readBootstrap } from '../../../../src/xds/bootstrap/bootstrap.ts';
import { describeProblems } from '../../../../src/xds/bootstrap/document.ts';
import { type ProxyFlags, proxyBootstrap } from '../../../../src/xds/bootstrap/proxy-bootstrap.ts';
import { fromJson, type MessageType, Problems, pack } from '../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../../../src/xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import type { ResourceType } from '../../../../src/xds/resources/resource-type.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../../../src/xds/resources/standard.ts';
import { testContext } from './support.ts';

/** One `## behaviour` of a golden file: its YAML, and the text that decoding it gives. */
export interface GoldenCase {
  readonly title: string;
  /** `route`, `hcm`, … with `show=path` for a part of the model only. */
  readonly info: string;
  readonly input: string;
  readonly output: string | undefined;
}

const CASE = /^## (.+)\n+```yaml (.+)\n([\s\S]*?)```\n(?:\n```text\n([\s\S]*?)```\n)?/gm;

export class GoldenFile {
  readonly path: string;
  readonly intro: string;
  readonly cases: readonly GoldenCase[];

  constructor(path: string) {
    this.path = path;
    const text = readFileSync(path, 'utf8');
    this.intro = text.slice(0, text.indexOf('\n## ') + 1);
    this.cases = [...text.matchAll(CASE)].map(([, title, info, input, output]) => ({
      title: title!,
      info: info!,
      input: input!,
      output,
    }));
    const headings = text.match(/^## /gm)?.length ?? 0;
    if (headings !== this.cases.length)
      throw new Error(`${path}: ${headings} headings, but ${this.cases.length} cases`);
  }

  rewrite(outputs: readonly string[]): void {
    const parts = this.cases.map(
      ({ title, info, input }, i) =>
        `## ${title}\n\n\`\`\`yaml ${info}\n${input}\`\`\`\n\n\`\`\`text\n${outputs[i]}\`\`\`\n`,
    );
    writeFileSync(this.path, `${this.intro}${parts.join('\n')}`);
  }
}

/** What the case's input decodes to: the model, or all that is wrong, and the warnings in either case. */
export function run({ info, input }: GoldenCase): string {
  const [kind = '', ...options] = info.split(' ');
  const show = options.find((option) => option.startsWith('show='))?.slice(5) ?? '';
  if (kind === 'bootstrap') return runBootstrap(input, show);
  if (kind === 'flags') return print(proxyBootstrap(parse(input) as ProxyFlags), show);
  const [type, wire, json, prefix] = wrap(kind, parse(input) as Json);
  const problems = new Problems();
  const message = fromJson(wire, json, problems);
  const result = type.decode(pack(wire, message), testContext());
  const lines: string[] = [];
  const say = (label: string, list: readonly { path: string; reason: string }[]): void => {
    for (const { path, reason } of list) lines.push(`${label} ${path.replace(prefix, '')}: ${reason}`);
  };
  if (!problems.ok) say('error', problems.list);
  else {
    if (!result.ok) say('error', result.errors);
    say('warning', result.warnings);
  }
  const model = problems.ok && result.ok ? print(result.resource, show) : '';
  return model + lines.map((line) => `${line}\n`).join('');
}

function runBootstrap(input: string, show: string): string {
  const result = readBootstrap(input, testContext());
  const say = (label: string, list: Parameters<typeof describeProblems>[1]): string =>
    describeProblems('bootstrap.yaml', list)
      .map((line) => `${label} ${line}\n`)
      .join('');
  const model = result.ok ? print(result.bootstrap, show) : say('error', result.problems);
  return model + say('warning', result.warnings);
}

// biome-ignore lint/suspicious/noExplicitAny: plain YAML
type Json = any;
type Wrapped = [type: ResourceType<unknown>, wire: MessageType<object>, json: Json, prefix: string];

function wrap(kind: string, json: Json): Wrapped {
  switch (kind) {
    case 'listener':
      return [LISTENER, Listener, json, ''];
    case 'cluster':
      return [CLUSTER, Cluster, json, ''];
    case 'endpoints':
      return [ENDPOINT, ClusterLoadAssignment, json, ''];
    case 'route':
      return [ROUTE, RouteConfiguration, json, ''];
    case 'routes': {
      const host = { name: 'all', domains: ['*'], routes: json };
      return [ROUTE, RouteConfiguration, { name: 'routes', virtual_hosts: [host] }, 'virtual_hosts[0].'];
    }
    case 'hcm':
      return [LISTENER, Listener, listenerOf(json), 'filter_chains[0].filters[0].typed_config.'];
    default:
      throw new Error(`golden case of unknown kind ${kind}`);
  }
}

const ROUTER = {
  name: 'router',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
};

/** A listener around a connection manager that is written without what every one has. */
function listenerOf(json: Json): Json {
  const type = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
  const manager = {
    '@type': `type.googleapis.com/${type}`,
    stat_prefix: 'http',
    ...('rds' in (json ?? {}) || 'scoped_routes' in (json ?? {}) ? {} : { route_config: { name: 'routes' } }),
    http_filters: [ROUTER],
    ...json,
  };
  return {
    name: 'listener',
    address: { socket_address: { address: '0.0.0.0', port_value: 80 } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  };
}

const SHORT = 100;

/** JSON with what fits on a line on one line; `show` is a path such as `routes.0.match`. */
function print(model: unknown, show: string): string {
  let shown: Json = JSON.parse(
    JSON.stringify(model, (_, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value)),
  );
  for (const step of show === '' ? [] : show.split('.')) shown = shown[step];
  return `${layOut(shown, '')}\n`;
}

function layOut(value: Json, indent: string): string {
  const flat = JSON.stringify(value, null, 1).replace(/\n\s*/g, ' ');
  if (typeof value !== 'object' || value === null || flat.length + indent.length <= SHORT) return flat;
  const inner = `${indent}  `;
  if (Array.isArray(value)) return `[\n${value.map((item) => inner + layOut(item, inner)).join(',\n')}\n${indent}]`;
  const rows = Object.entries(value).map(([key, item]) => `${inner}${JSON.stringify(key)}: ${layOut(item, inner)}`);
  return `{\n${rows.join(',\n')}\n${indent}}`;
}
