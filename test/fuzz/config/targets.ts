/** What config comes in through, each as: some bytes or text in, what is wrong with the outcome out. */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { ConfigError } from '../../../src/base/errors.ts';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { examine } from '../../../src/control/analyze/examine.ts';
import { resourcesOf } from '../../../src/control/serve/snapshot.ts';
import * as urls from '../../../src/control/serve/type-urls.ts';
import { readObjects } from '../../../src/control/source/files/yaml.ts';
import { MeshEmitter } from '../../../src/control/translate/emit/snapshot.ts';
import type { RouteConfig } from '../../../src/model/route.ts';
import { compileRouteTable } from '../../../src/proxy/router/table.ts';
import { proxyDecodeContext } from '../../../src/proxy/runtime/extensions.ts';
import { readBootstrap } from '../../../src/xds/bootstrap/bootstrap.ts';
import { encode, fromJson, type Problem, Problems } from '../../../src/xds/proto/codec.ts';
import { Bootstrap } from '../../../src/xds/proto/gen/envoy/config/bootstrap/v3.ts';
import { Cluster } from '../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../../src/xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { Secret } from '../../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET } from '../../../src/xds/resources/standard.ts';
import { bookinfoInstances } from '../../simulation/bookinfo.ts';
import { bookinfoFiles, Mesh, node } from '../../simulation/traffic.ts';
import { bombs, mutateDocuments, mutateText } from './text.ts';
import { mutateMessage } from './wire.ts';

export interface Target {
  readonly name: string;
  /** Makes one case. */
  make(random: Random): string | Uint8Array;
  /** Takes it in; says what is wrong, '' nothing, and whether it was taken. */
  take(input: string | Uint8Array): { readonly fault: string; readonly accepted: boolean };
}

const context = proxyDecodeContext();
const ROOT = new URL('../../../', import.meta.url);

function pick<T>(from: readonly T[], random: Random): T {
  return from[random.int(from.length)]!;
}

/** A message for people: one line, and no value that was printed by accident. */
function unfit(text: string): boolean {
  return text === '' || /[\n\r\0]|\[object /.test(text) || text.endsWith('undefined') || text.length > 2000;
}

function faultOf(problems: readonly Problem[]): string {
  if (problems.length === 0) return 'refused without a problem';
  for (const { path, reason } of problems) {
    if (typeof path !== 'string') return 'a problem without a path';
    if (unfit(reason)) return `an unfit reason at ${path.slice(0, 200)}: ${JSON.stringify(reason.slice(0, 300))}`;
  }
  return '';
}

/** As the runtime does: what only shows between routes is a ConfigError, which it reports; '' for none. */
function refusedBy(config: RouteConfig): string {
  try {
    compileRouteTable(config, {
      random: seededRandom(1),
      runtime: { boolean: (_key, fallback) => fallback, number: (_key, fallback) => fallback },
    });
    return '';
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message;
  }
}

const TYPES = { LISTENER, ROUTE, CLUSTER, ENDPOINT, SECRET } as const;
const WIRE = {
  LISTENER: Listener,
  ROUTE: RouteConfiguration,
  CLUSTER: Cluster,
  ENDPOINT: ClusterLoadAssignment,
  SECRET: Secret,
} as const;
type Kind = keyof typeof TYPES;

/** What our own control server sends for Bookinfo, the bootstrap examples' resources, and secrets of each kind. */
function seeds(): [kind: Kind, bytes: Uint8Array][] {
  const found: [Kind, Uint8Array][] = [];
  const add = (kind: Kind, message: object) => found.push([kind, encode(WIRE[kind] as never, message as never)]);
  const folder = new URL('config/proxy/', ROOT);
  for (const file of readdirSync(folder)) {
    const { static_resources } = fromJson(
      Bootstrap,
      parse(readFileSync(new URL(file, folder), 'utf8')),
      new Problems(),
    );
    for (const one of static_resources?.listeners ?? []) add('LISTENER', one);
    for (const one of static_resources?.clusters ?? []) add('CLUSTER', one);
  }
  const mesh = new Mesh({ ...bookinfoFiles('timeout-retry', 'ratings-delay'), 'instances.yaml': bookinfoInstances() });
  for (const spec of [
    {},
    { kind: 'router', name: 'gateway', labels: { istio: 'ingressgateway' } },
    { agent: 'envoy' },
  ] as const) {
    const snapshot = mesh.snapshot(spec);
    for (const [kind, url] of [
      ['LISTENER', urls.LISTENER],
      ['ROUTE', urls.ROUTE],
      ['CLUSTER', urls.CLUSTER],
      ['ENDPOINT', urls.ENDPOINT],
    ] as const) {
      for (const { any } of resourcesOf(snapshot, url).values())
        if (any.value !== undefined) found.push([kind, any.value]);
    }
  }
  const text = (inline_string: string) => ({ inline_string });
  for (const json of [
    { name: 'a', tls_certificate: { certificate_chain: text('-----BEGIN CERTIFICATE-----'), private_key: text('x') } },
    {
      name: 'b',
      validation_context: {
        trusted_ca: text('x'),
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://' } }],
      },
    },
    { name: 'c', generic_secret: { secret: text('x') } },
  ]) {
    add('SECRET', fromJson(Secret, json, new Problems()));
  }
  return found;
}

/** Binary resources of all types through the proxy's decoders, and what passes through the router's compiler. */
export function wireTarget(): Target {
  const all = seeds();
  return {
    name: 'xDS, binary',
    make(random) {
      const kind = pick(Object.keys(TYPES) as Kind[], random);
      const [, bytes] = pick(
        all.filter(([of]) => of === kind),
        random,
      );
      return Buffer.concat([Buffer.from([Object.keys(TYPES).indexOf(kind)]), mutateMessage(bytes, random)]);
    },
    take(input) {
      const bytes = input as Uint8Array;
      const kind = Object.keys(TYPES)[bytes[0]!] as Kind;
      const decoded = TYPES[kind].decode({ type_url: TYPES[kind].typeUrl, value: bytes.subarray(1) }, context);
      if (!decoded.ok) return { fault: faultOf(decoded.errors), accepted: false };
      for (const { reason } of decoded.warnings)
        if (unfit(reason)) return { fault: `an unfit warning: ${reason}`, accepted: true };
      if (kind === 'ROUTE') refusedBy(decoded.resource as RouteConfig);
      return { fault: '', accepted: true };
    },
  };
}

/** Bootstrap files, YAML and JSON. */
export function bootstrapTarget(): Target {
  const folder = new URL('config/proxy/', ROOT);
  const texts = readdirSync(folder).map((file) => readFileSync(new URL(file, folder), 'utf8'));
  return {
    name: 'bootstrap, YAML and JSON',
    make: (random) => (random.int(2) === 0 ? mutateText : mutateDocuments)(pick(texts, random), random),
    take(input) {
      const result = readBootstrap(input as string, context);
      if (result.ok) return { fault: '', accepted: true };
      const nowhere = result.problems.find(({ line, column }) => !(line >= 0 && column >= 0));
      if (nowhere !== undefined) return { fault: `no place: ${nowhere.reason}`, accepted: false };
      return { fault: faultOf(result.problems), accepted: false };
    },
  };
}

/** Kubernetes' and Istio's objects, as far as the resources that a proxy gets of them. */
export function objectsTarget(): Target {
  const golden = new URL('test/golden/translate/istio/', ROOT);
  const texts = readdirSync(golden).map((file) => {
    const text = readFileSync(new URL(file, golden), 'utf8');
    return [...text.matchAll(/^```yaml (?!output)\S+\n([\s\S]*?)^```$/gm)].map((match) => match[1]).join('---\n');
  });
  texts.push(...Object.values(bookinfoFiles()), bookinfoInstances());
  const proxies = [node({}), node({ kind: 'router', name: 'gateway', labels: { istio: 'ingressgateway' } })];
  return {
    name: 'Kubernetes and Istio, YAML',
    make: (random) => (random.int(2) === 0 ? mutateText : mutateDocuments)(pick(texts, random), random),
    take(input) {
      const { objects, findings } = readObjects(input as string, 'fuzz.yaml');
      const examined = examine({ objects, findings });
      for (const { message, line, field, file } of examined.findings) {
        if (unfit(message))
          return { fault: `an unfit finding: ${JSON.stringify(message.slice(0, 300))}`, accepted: false };
        if (!(line >= 0) || typeof field !== 'string' || typeof file !== 'string')
          return { fault: `no place: ${message}`, accepted: false };
      }
      const emitter = new MeshEmitter(() => {});
      for (const proxy of proxies) {
        const snapshot = emitter.emit(examined.mesh, proxy);
        for (const [type, url] of [
          [LISTENER, urls.LISTENER],
          [ROUTE, urls.ROUTE],
          [CLUSTER, urls.CLUSTER],
          [ENDPOINT, urls.ENDPOINT],
        ] as const) {
          for (const { any } of resourcesOf(snapshot, url).values()) {
            const decoded = type.decode(any, context);
            if (!decoded.ok)
              return {
                fault: `our proxy refuses what our server sends: ${JSON.stringify(decoded.errors).slice(0, 600)}`,
                accepted: false,
              };
            const wrong = type === ROUTE ? refusedBy(decoded.resource as RouteConfig) : '';
            if (wrong !== '') return { fault: `our proxy cannot use what our server sends: ${wrong}`, accepted: false };
          }
        }
      }
      return { fault: '', accepted: findings.length === 0 };
    },
  };
}

export interface ConfigFuzzResult {
  accepted: number;
  refused: number;
  slowestMs: number;
  faults: { readonly number: number; readonly fault: string; readonly input: string }[];
}

/** CPU time that no case may take longer than. */
const LIMIT_MS = 2000;

/** Of this thread: other programs of the machine do not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Cases `first`, `first + step`, … of a seed through one target; `onCase` hears each before it runs. */
export function fuzzConfig(
  target: Target,
  { cases, seed, first = 0, step = 1 }: { cases: number; seed: number; first?: number; step?: number },
  onCase: (number: number) => void = () => {},
): ConfigFuzzResult {
  const result: ConfigFuzzResult = { accepted: 0, refused: 0, slowestMs: 0, faults: [] };
  for (let number = first, i = 0; i < cases; i++, number += step) {
    onCase(number);
    one(target, target.make(seededRandom(seed * 1_000_003 + number)), number, result);
  }
  return result;
}

/** Every bomb once, in full for a `scale` of 1; they are texts. */
export function bombConfig(target: Target, scale: number): ConfigFuzzResult {
  const result: ConfigFuzzResult = { accepted: 0, refused: 0, slowestMs: 0, faults: [] };
  for (const [name, text] of Object.entries(bombs(scale))) one(target, text, -1, result, name);
  return result;
}

function one(target: Target, input: string | Uint8Array, number: number, result: ConfigFuzzResult, name = ''): void {
  const start = cpuMs();
  let fault = '';
  try {
    const taken = target.take(input);
    ({ fault } = taken);
    if (taken.accepted) result.accepted++;
    else result.refused++;
  } catch (error) {
    fault = `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
  const took = cpuMs() - start;
  result.slowestMs = Math.max(result.slowestMs, took);
  if (fault === '' && took > LIMIT_MS) fault = `took ${Math.round(took)} ms`;
  if (fault === '' || result.faults.length >= 20) return;
  const text = typeof input === 'string' ? JSON.stringify(input) : Buffer.from(input).toString('hex');
  result.faults.push({ number, fault: name === '' ? fault : `${name}: ${fault}`, input: text.slice(0, 2000) });
}
