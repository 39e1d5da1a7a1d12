import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  allImports,
  type Banned,
  type BannedModule,
  bannedModules,
  bannedUses,
  type Matrix,
  missingReadmes,
  missingTargets,
  orphanTests,
  runtimeCycles,
  strayEdges,
  tooLong,
  type Waivers,
} from './support/architecture/checks.ts';
import { importsOf, mask, readTree } from './support/architecture/source-tree.ts';

/**
 * The import rule of ARCHITECTURE.md. A folder may import itself and what stands here, nothing else. Whoever moves
 * a wall changes this table in the same commit, and gives a reason where the edge is not obvious.
 */
const MATRIX: Matrix = {
  base: [],
  model: ['base'],
  demo: [],
  dashboard: [],

  'protocol/http': ['base'],
  'protocol/http1': ['base', 'protocol/http'],
  'protocol/http2': ['base', 'protocol/http'],
  'protocol/grpc': ['base', 'protocol/http', 'protocol/http2'],
  'protocol/sniff': ['base'],
  'protocol/dns': ['base'],

  'xds/proto': [],
  'xds/resources': [
    'base',
    'protocol/http',
    'model',
    'xds/proto',
    { to: 'protocol/grpc', only: /\/status\.ts$/, why: 'gRPC’s codes by name' },
  ],
  'xds/bootstrap': ['base', 'model', 'xds/proto', 'xds/resources'],
  'xds/client': [
    'base',
    'model',
    'xds/proto',
    { to: 'protocol/grpc', why: 'the stream to the server: @grpc/grpc-js costs a sidecar 12 MB' },
    { to: 'xds/resources', types: true, why: 'the decoders come in as values; only their shape is known here' },
  ],

  'proxy/io': ['base', { to: 'protocol/http1', why: 'writes octets as that folder names them' }],
  'proxy/matcher': ['base', 'model', 'protocol/http'],
  'proxy/telemetry': [
    'base',
    'model',
    'protocol/http',
    { to: 'protocol/grpc', only: /\/status\.ts$/, why: 'gRPC’s codes by name' },
  ],
  'proxy/tls': [
    'base',
    'model',
    'proxy/telemetry',
    { to: 'proxy/matcher', why: 'names of certificates are matched as headers are' },
  ],
  'proxy/identity': ['base', 'model'],
  'proxy/filters': [
    'base',
    'model',
    'protocol/http',
    'proxy/telemetry',
    { to: 'proxy/matcher', why: 'fault and cors match headers and origins as routes do' },
    {
      to: 'xds/proto',
      from: /^src\/proxy\/filters\/(filter|wire)\.ts$|\/config\.ts$/,
      why: 'the decoder of a filter’s config lives in its folder; filter.ts names what a decoder reports to, wire.ts is what decoders share',
    },
    {
      to: 'xds/proto',
      types: true,
      from: /^src\/proxy\/filters\/([^/]+)\/\1\.ts$/,
      why: 'a filter is typed by the wire message that it says it decodes',
    },
  ],
  'proxy/router': [
    'base',
    'model',
    'protocol/http',
    { to: 'proxy/matcher', why: 'header and string matchers, which filters share' },
    {
      to: 'proxy/telemetry',
      why: 'header values are access-log formats (%REQ(X)%), and a route names itself in the stream info',
    },
    {
      to: 'proxy/filters',
      types: true,
      only: /\/filter\.ts$/,
      why: 'RuntimeValues, which route fractions read as filters do',
    },
  ],
  'proxy/upstream': [
    'base',
    'model',
    'protocol/http',
    'protocol/http1',
    'proxy/io',
    'proxy/telemetry',
    'proxy/tls',
    {
      to: 'xds/proto',
      types: true,
      from: /^src\/proxy\/upstream\/lb\//,
      why: 'the decoder of a balancer’s config lives in its file',
    },
  ],
  'proxy/forward': [
    'base',
    'model',
    'protocol/http',
    'protocol/http1',
    'proxy/io',
    'proxy/router',
    'proxy/upstream',
    'proxy/telemetry',
    {
      to: 'proxy/filters',
      types: true,
      only: /\/filter\.ts$/,
      why: 'LocalReply: the terminal filter answers as filters do',
    },
  ],
  'proxy/tcp': ['base', 'model', 'proxy/io', 'proxy/upstream', 'proxy/telemetry'],
  'proxy/http': [
    'base',
    'model',
    'protocol/http',
    'protocol/http1',
    'proxy/io',
    'proxy/router',
    'proxy/filters',
    'proxy/forward',
    'proxy/telemetry',
    { to: 'proxy/matcher', only: /\/cidr\.ts$/, why: 'address ranges, which RBAC shares' },
  ],
  'proxy/listener': [
    { to: 'proxy/io', only: /\/listen-sockets\.ts$/, why: 'listening sockets that outlive the process' },
    'base',
    'model',
    'protocol/sniff',
    'proxy/http',
    'proxy/tcp',
    'proxy/telemetry',
    'proxy/tls',
  ],
  'proxy/dns': [
    'base',
    'model',
    'protocol/dns',
    'proxy/telemetry',
    { to: 'protocol/sniff', only: /\/ip-text\.ts$/, why: 'addresses as octets' },
    { to: 'proxy/io', only: /\/listen-sockets\.ts$/, why: 'listening sockets that outlive the process' },
  ],
  'proxy/admin': [
    'base',
    'model',
    'proxy/telemetry',
    { to: 'protocol/http', why: 'its own small server over net: node:http costs a sidecar 20 MB' },
    { to: 'protocol/http1', why: 'the same' },
    { to: 'proxy/upstream', why: 'the views of clusters and their endpoints' },
    { to: 'proxy/router', from: /\/explain\.ts$/, why: 'explains a request by the very tables that would route it' },
    { to: 'proxy/http', from: /\/explain\.ts$/, why: 'the same, for what is checked before the route' },
    {
      to: 'proxy/filters',
      from: /\/explain\.ts$/,
      only: /\/(chain|filter)\.ts$/,
      why: 'what filters say that they do',
    },
    { to: 'proxy/forward', from: /\/explain\.ts$/, why: 'the same, for timeouts and retries' },
    { to: 'proxy/io', why: 'the Date header is the same for every HTTP writer' },
  ],
  'proxy/runtime': [
    'base',
    'model',
    'protocol/http',
    'protocol/http1',
    'proxy/io',
    'proxy/matcher',
    'proxy/telemetry',
    'proxy/filters',
    'proxy/router',
    'proxy/upstream',
    'proxy/forward',
    'proxy/tcp',
    'proxy/http',
    'proxy/listener',
    'proxy/tls',
    'proxy/admin',
    'proxy/identity',
    'proxy/dns',
    { to: 'protocol/dns', only: /\/resolv-conf\.ts$/, why: 'reads the pod’s, for the DNS proxy' },
    'xds/proto',
    'xds/bootstrap',
    'xds/client',
    'xds/resources',
  ],

  'control/source': ['base'],
  'control/mesh': [
    { to: 'base', only: /\/secret-bytes\.ts$/, types: true, why: 'keys of gateways, which nobody prints' },
  ],
  'control/translate': [
    'base',
    'xds/proto',
    { to: 'protocol/grpc', only: /\/status\.ts$/, why: 'gRPC’s codes by name' },
    'control/source',
    'control/mesh',
    {
      to: 'control/serve',
      only: /\/(source|snapshot|type-urls)\.ts$/,
      why: 'what a translation makes is what serve takes: its resource types and the scope of a change',
    },
  ],
  'control/analyze': [
    'base',
    'control/source',
    'control/mesh',
    { to: 'control/translate', why: 'mistakes are found on what the translation made of the objects' },
  ],
  'control/injector': [
    'base',
    'control/source',
    { to: 'control/analyze', only: /\/examine\.ts$/, why: 'the validating webhook says what `remora analyze` says' },
    {
      to: 'control/translate',
      only: /\/(decode|proxy-config)\.ts$/,
      why: 'the same, for one object; Istio’s ProxyConfig, which the mesh’s config and pods have',
    },
  ],
  'control/ca': [
    'base',
    'xds/proto',
    { to: 'control/source', why: 'its root is kept, and tokens are reviewed, by the API server' },
    { to: 'control/serve', only: /\/caller\.ts$/, why: 'it is served beside ADS, and says who calls' },
  ],
  'control/serve': ['base', 'protocol/http', 'xds/proto'],
  'control/status': [
    'base',
    'control/source',
    { to: 'control/serve', types: true, why: 'how many proxies have applied a change' },
  ],
  'control/runtime': [
    'base',
    'xds/proto',
    'control/source',
    'control/mesh',
    'control/translate',
    'control/analyze',
    'control/injector',
    'control/serve',
    'control/status',
    'control/ca',
  ],

  cli: [
    'base',
    'model',
    'cli/demo',
    'cli/explain',
    'cli/install',
    'cli/iptables',
    { to: 'control/injector', why: '`remora inject` injects without a server' },
    { to: 'proxy/runtime', why: 'the proxy’s assembly' },
    { to: 'control/runtime', why: 'the control server’s assembly' },
    { to: 'control/analyze', why: '`remora analyze`' },
    { to: 'control/source', why: '`remora analyze` reads folders without a server' },
    'xds/bootstrap',
  ],
  'cli/explain': [
    'base',
    'model',
    'cli',
    { to: 'proxy/runtime', why: 'an idle proxy is assembled, and asked what it would do' },
    { to: 'proxy/admin', only: /\/explain\.ts$/, why: 'the same explanation as the admin port’s' },
    { to: 'proxy/router', only: /\/explain\.ts$/, why: 'words for why a route did not match' },
    { to: 'proxy/upstream', only: /\/describe\.ts$/, why: 'clusters in the words of their local replies' },
    { to: 'control/source', why: '`--files` reads folders without a server' },
    { to: 'control/translate', why: '`--files` translates without a server' },
    { to: 'control/serve', types: true, why: 'what a translation gives' },
    { to: 'control/mesh', types: true, why: 'names of services' },
    { to: 'xds/client', why: '`--control` asks as a proxy does' },
    { to: 'xds/resources', why: 'decodes what the translation emitted' },
    'xds/bootstrap',
  ],
  'cli/demo': ['base', 'cli'],
  'cli/iptables': ['base', 'cli'],
  'cli/install': [
    'base',
    'cli',
    {
      to: 'control/injector',
      only: /\/settings\.ts$/,
      why: 'namespaces that are never injected are those of the webhook’s selectors',
    },
  ],
};

const EDGE_WAIVERS: Waivers = {};

/** Written by src/xds/proto/generate.ts. */
const GENERATED = /^src\/xds\/proto\/gen\//;

const MAX_LINES = 600;
const LENGTH_WAIVERS: Waivers = {
  'src/proxy/http/stream.ts': 'the order in which things happen to one request is read best in one place',
};

const CLI = /^src\/cli\//;
const DEMO = /^src\/demo\//;
const BASE = /^src\/base\//;
const CLOCK = /^src\/(base|demo)\//; // The demo's services are foreign programs: they know nothing of Remora's clock.

const BANNED: readonly Banned[] = [
  { what: 'Date.now or new Date()', pattern: /\bDate\.now\b|\bnew Date\(\s*\)/g, allowed: CLOCK },
  { what: 'Math.random', pattern: /\bMath\.random\b/g, allowed: BASE },
  { what: 'performance.now', pattern: /\bperformance\.now\b/g, allowed: CLOCK },
  { what: 'a timer of Node’s', pattern: /(?<![.\w$])set(?:Timeout|Interval|Immediate)\s*\(/g, allowed: CLOCK },
  { what: 'process.env', pattern: /\bprocess\.env\b/g, allowed: new RegExp(`${CLI.source}|${DEMO.source}`) },
  { what: 'process.argv', pattern: /\bprocess\.argv\b/g, allowed: new RegExp(`${CLI.source}|${DEMO.source}`) },
];
const BANNED_WAIVERS: Waivers = {
  'src/cli/demo/*: performance.now':
    'the demo’s checks and visitor measure real time over real sockets; nothing injects a clock into them',
  'src/cli/demo/index.ts: Date.now or new Date()': 'the time of day before a line that a person reads',
};

/** Packages and modules that cost a sidecar memory or that only one place should know. */
const MODULES: readonly BannedModule[] = [
  { name: /^undici$/, allowed: /^$/ },
  { name: /^(node:)?(http|https|http2)$/, allowed: /^src\/(demo|control\/runtime|control\/source\/kube)\// },
  { name: /^(node:)?timers(\/promises)?$/, allowed: CLOCK },
  { name: /^re2js$/, allowed: BASE },
  { name: /^commander$/, allowed: CLI },
  { name: /^yaml$/, allowed: /^src\/(cli|control\/(source|injector)|xds\/bootstrap)\// },
  { name: /^@grpc\/grpc-js$/, allowed: /^src\/(xds\/client\/grpc-[a-z]+|control\/serve\/(ads|session))\.ts$/ },
  { name: /^prom-client$/, allowed: /^src\/proxy\/(admin|telemetry)\// },
  { name: /^protobufjs/, allowed: /^src\/xds\/proto\/(generate\.ts$|generator\/)/ },
  {
    name: /^(node:)?(net|tls|dgram|dns)(\/promises)?$/,
    allowed: /^src\/(cli|demo|proxy|control\/runtime|control\/serve|xds\/client)\//,
  },
];
const MODULE_WAIVERS: Waivers = {
  'src/control/injector/*: node:net': 'isIP alone: no sockets',
  'src/control/source/schema/scalar.ts: node:net': 'isIP alone: no sockets',
};

const TEST_WAIVERS: Waivers = {
  'test/unit/*/support.ts': 'what the tests of that folder share',
  'test/unit/*/fixtures.ts': 'what the tests of that folder share',
  'test/unit/*/golden.test.ts': 'runs the cases under test/golden',
  'test/unit/*/golden.ts': 'reads and writes the cases under test/golden',
  'test/unit/*/*fuzz.test.ts': 'mutated input through a whole folder',
  'test/unit/*/allocations.test.ts': 'what a whole request allocates',
  'test/unit/*/differential.test.ts': 'a whole folder beside an independent implementation',
  'test/unit/xds/proto/binary.test.ts': 'binary-read.ts and binary-write.ts together, there and back',
  'test/unit/xds/proto/json.test.ts': 'json-read.ts and json-write.ts together, there and back',
  'test/unit/xds/proto/scalars.test.ts': 'scalars of both encodings',
  'test/unit/control/source/schema/schema.test.ts': 'the small files of that folder as their users combine them',
  'test/unit/protocol/http1/smuggling.test.ts': 'the corpus of test/support through the whole parser',
  'test/unit/xds/client/memory-transport.ts': 'a transport for the tests of that folder',
  'test/unit/xds/proto/random-message.ts': 'random messages for the tests of that folder',
  'test/unit/proxy/telemetry/accesslog/stream.ts': 'a stream for the tests of that folder',
};

const MAX_README_LINES = 60;
/** A second-level folder with more files than this says in a README.md what lives there. */
const FILES_WITHOUT_README = 4;
const README_WAIVERS: Waivers = {};

describe('architecture', () => {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const files = readTree(root, ['src'], ['.ts', '.md']);
  for (const path of [...files.keys()]) if (GENERATED.test(path)) files.delete(path);
  const imports = allImports(files);

  it('has files and imports to look at', () => {
    expect(files.size).toBeGreaterThan(200);
    expect(imports.length).toBeGreaterThan(1000);
  });
  it('imports along the matrix only', () => expect(strayEdges(imports, MATRIX, EDGE_WAIVERS)).toEqual([]));
  it('imports files that are there', () => expect(missingTargets(imports, files, GENERATED)).toEqual([]));
  it('has no import cycle at run time', () => expect(runtimeCycles(imports, GENERATED)).toEqual([]));
  it('has no file that is too long', () => expect(tooLong(files, MAX_LINES, GENERATED, LENGTH_WAIVERS)).toEqual([]));
  it('takes time, chance and environment from where they are given', () =>
    expect(bannedUses(files, BANNED, GENERATED, BANNED_WAIVERS)).toEqual([]));
  it('imports heavy or outward modules only in their places', () =>
    expect(bannedModules(imports, MODULES, MODULE_WAIVERS)).toEqual([]));
  it('has a source behind every unit test', () => {
    const tests = readTree(root, ['test/unit'], ['.ts']);
    expect(orphanTests(tests.keys(), new Set(files.keys()), TEST_WAIVERS)).toEqual([]);
  });
  it('introduces its folders, briefly', () =>
    expect(missingReadmes(files, FILES_WITHOUT_README, MAX_README_LINES, README_WAIVERS)).toEqual([]));
});

/** The walls that must not move by accident, whatever else the matrix comes to say. */
describe('the matrix', () => {
  const imported = (area: string): string[] =>
    Object.entries(MATRIX)
      .filter(([name]) => name === area || name.startsWith(`${area}/`))
      .flatMap(([, allowed]) => allowed.map((one) => (typeof one === 'string' ? one : one.to)));
  const importers = (area: string): string[] =>
    Object.keys(MATRIX).filter((name) => imported(name).some((to) => to === area || to.startsWith(`${area}/`)));

  it('lets the planes meet at xDS only', () => {
    expect(imported('control').filter((to) => /^(proxy|model)/.test(to))).toEqual([]);
    expect(imported('proxy').filter((to) => to.startsWith('control'))).toEqual([]);
    expect(imported('control').filter((to) => /^xds/.test(to) && to !== 'xds/proto')).toEqual([]);
  });
  it('keeps xds from proxy, and proxy from xds outside runtime but for xds/proto', () => {
    expect(imported('xds').filter((to) => to.startsWith('proxy'))).toEqual([]);
    const outside = Object.keys(MATRIX).filter((area) => /^proxy\//.test(area) && area !== 'proxy/runtime');
    expect(outside.flatMap(imported).filter((to) => /^xds/.test(to) && to !== 'xds/proto')).toEqual([]);
  });
  it('lets nothing import the command line', () =>
    expect(importers('cli')).toEqual(['cli', 'cli/explain', 'cli/demo', 'cli/iptables', 'cli/install']));
  it('leaves base, demo and dashboard alone', () => {
    expect([...imported('base'), ...imported('demo'), ...imported('dashboard')]).toEqual([]);
    expect([...importers('demo'), ...importers('dashboard')]).toEqual([]);
  });
  it('keeps filters from router, forward and upstream, and telemetry below everyone', () => {
    expect(imported('proxy/filters').filter((to) => /^proxy\/(router|forward|upstream)/.test(to))).toEqual([]);
    expect(imported('proxy/telemetry').filter((to) => to.startsWith('proxy'))).toEqual([]);
  });
});

describe('the checks', () => {
  const tree = (files: Record<string, string>): Map<string, string> => new Map(Object.entries(files));
  const none = /^$/;

  it('find every form of import', () => {
    const text = [
      "import a from './a.ts';",
      "import type { B } from './b.ts';",
      "import {\n  c,\n  type D,\n} from './c.ts';",
      "import './e.ts';",
      "export * from '../f.ts';",
      "export type { G } from './g.ts';",
      "export { h } from './h.ts';",
      "const i = await import('./i.ts');",
      "let j: typeof import('./j.ts');",
      "import * as k from 'node:net';",
      "import type from './l.ts';",
    ].join('\n');
    const found = importsOf('src/x/y.ts', text).map(({ to, typeOnly }) => (typeOnly ? `type ${to}` : to));
    expect(found.sort()).toEqual([
      'node:net',
      'src/f.ts',
      'src/x/a.ts',
      'src/x/c.ts',
      'src/x/e.ts',
      'src/x/h.ts',
      'src/x/i.ts',
      'src/x/l.ts',
      'type src/x/b.ts',
      'type src/x/g.ts',
      'type src/x/j.ts',
    ]);
  });

  it('see no import in comments, strings, templates and regexes', () => {
    const text = [
      "// import a from './a.ts';",
      "/*\nimport b from './b.ts';\n*/",
      `const c = \`\nimport d from './d.ts';\n${'$'}{e(\`}\`)}\nimport f from './f.ts';\n\`;`,
      `const g = "import('./g.ts')";`,
      'const h = /[\'"`/*]/.test(x) ? 1 / 2 : 3 / 4;',
      "import './real.ts';",
    ].join('\n');
    expect(importsOf('src/x.ts', text).map(({ to }) => to)).toEqual(['src/real.ts']);
    expect(mask(text)).toHaveLength(text.length);
    expect(mask(text).split('\n')).toHaveLength(text.split('\n').length);
  });

  it('report an edge that the matrix does not hold, a type import too', () => {
    const matrix: Matrix = {
      a: [],
      b: ['a', { to: 'c', why: 'x', types: true }, { to: 'd', why: 'x', from: /\/in\.ts$/, only: /\/out\.ts$/ }],
      c: [],
      d: [],
    };
    const check = (from: string, text: string): string[] =>
      strayEdges(importsOf(from, text), matrix, {}).filter((line) => !line.startsWith('nothing of'));
    expect(check('src/b/x.ts', "import { y } from '../a/y.ts';")).toEqual([]);
    expect(check('src/b/x.ts', "import { y } from './y.ts';")).toEqual([]);
    expect(check('src/a/x.ts', "\nimport type { Y } from '../b/y.ts';")).toEqual([
      'src/a/x.ts:2 imports src/b/y.ts: a may not import b',
    ]);
    expect(check('src/b/x.ts', "import type { Y } from '../c/y.ts';")).toEqual([]);
    expect(check('src/b/x.ts', "import { y } from '../c/y.ts';")).toHaveLength(1);
    expect(check('src/b/in.ts', "import { y } from '../d/out.ts';")).toEqual([]);
    expect(check('src/b/x.ts', "import { y } from '../d/out.ts';")).toHaveLength(1);
    expect(check('src/b/in.ts', "import { y } from '../d/y.ts';")).toHaveLength(1);
    expect(check('src/b/x.ts', "const y = import('../e/y.ts');")).toEqual([
      'src/b/x.ts:1 imports src/e/y.ts, and the matrix does not know src/e/y.ts',
    ]);
  });

  it('know folders by their longest name', () => {
    const matrix: Matrix = { a: ['b/c'], 'b/c': [], b: [] };
    expect(strayEdges(importsOf('src/a/x.ts', "import '../b/c/y.ts';"), matrix, {})).toEqual([]);
    expect(strayEdges(importsOf('src/a/x.ts', "import '../b/d/y.ts';"), matrix, {})).toHaveLength(1);
  });

  it('let a waiver excuse, and report one that excuses nothing', () => {
    const imports = importsOf('src/a/x.ts', "import '../b/y.ts';");
    const matrix: Matrix = { a: [], b: [] };
    expect(strayEdges(imports, matrix, { 'src/a/x.ts -> src/b/y.ts': 'for now' })).toEqual([]);
    expect(strayEdges([], { a: ['b', { to: 'c', why: 'x' }] }, {})).toEqual([
      'nothing of a imports c as its reason says (x): delete it from the matrix',
    ]);
    expect(strayEdges([], matrix, { 'src/a/*': 'for now' })).toEqual([
      'the waiver for the edge src/a/* excuses nothing: delete it',
    ]);
  });

  it('find cycles at run time and leave those of types', () => {
    const files = tree({
      'src/a.ts': "import './b.ts';",
      'src/b.ts': "import './c.ts';",
      'src/c.ts': "import './b.ts';\nimport type { A } from './a.ts';",
    });
    expect(runtimeCycles(allImports(files), none)).toEqual(['src/b.ts -> src/c.ts -> src/b.ts']);
    expect(runtimeCycles(allImports(files), /^src\/c/)).toEqual([]);
    expect(runtimeCycles(allImports(tree({ 'src/a.ts': "await import('./a.ts');" })), none)).toHaveLength(1);
  });

  it('find imports of what is not there', () => {
    const files = tree({ 'src/a.ts': "import './b.ts';\nimport './gen/c.ts';" });
    expect(missingTargets(allImports(files), files, /gen/)).toEqual([
      'src/a.ts:1 imports src/b.ts, which is not there',
    ]);
  });

  it('find files that are too long', () => {
    const files = tree({ 'src/a.ts': 'x\n'.repeat(3), 'src/b.ts': 'x\n'.repeat(4), 'src/gen.ts': 'x\n'.repeat(9) });
    expect(tooLong(files, 3, /gen/, {})).toEqual(['src/b.ts has 4 lines, more than 3']);
    expect(tooLong(files, 3, /gen/, { 'src/b.ts': 'a table' })).toEqual([]);
  });

  it('find banned calls, and not where they are spoken of', () => {
    const uses = (path: string, text: string): string[] =>
      bannedUses(tree({ [path]: text }), BANNED, none, {}).map((line) => line.replace(/^[^ ]* uses /, ''));
    expect(uses('src/x/a.ts', 'const t = Date.now();')).toEqual(['Date.now or new Date()']);
    expect(uses('src/x/a.ts', 'new Date(5)')).toEqual([]);
    expect(uses('src/x/a.ts', '// Date.now()\nconst text = "Math.random()";')).toEqual([]);
    expect(uses('src/x/a.ts', 'Math.random(); performance.now();')).toHaveLength(2);
    expect(uses('src/x/a.ts', 'setTimeout(f, 1); socket.setTimeout(5);')).toEqual(['a timer of Node’s']);
    expect(uses('src/x/a.ts', 'process.env.X; process.argv[2];')).toHaveLength(2);
    expect(uses('src/base/clock.ts', 'setTimeout(f, 1); Date.now();')).toEqual([]);
    expect(uses('src/cli/a.ts', 'process.env.X;')).toEqual([]);
    expect(uses('src/demo/a.ts', 'process.env.X; setTimeout(f, 1)')).toEqual([]);
    expect(uses('src/cli/a.ts', 'setTimeout(f, 1)')).toHaveLength(1);
  });

  it('find banned modules, types of them too', () => {
    const check = (path: string, to: string): string[] =>
      bannedModules(importsOf(path, `import type x from '${to}';`), MODULES, {});
    expect(check('src/proxy/http/x.ts', 'node:http')).toHaveLength(1);
    expect(check('src/proxy/http/x.ts', 'undici')).toHaveLength(1);
    expect(check('src/protocol/http1/x.ts', 'node:net')).toHaveLength(1);
    expect(check('src/proxy/http/x.ts', 'node:net')).toEqual([]);
    expect(check('src/demo/x.ts', 'node:http')).toEqual([]);
  });

  it('find tests that mirror nothing', () => {
    const sources = new Set(['src/a/b.ts']);
    expect(orphanTests(['test/unit/a/b.test.ts', 'test/integration/x.test.ts'], sources, {})).toEqual([]);
    expect(orphanTests(['test/unit/a/c.test.ts'], sources, {})).toHaveLength(1);
    expect(orphanTests(['test/unit/a/b.ts'], sources, {})).toHaveLength(1);
    expect(orphanTests(['test/unit/a/support.ts'], sources, { 'test/unit/*/support.ts': 'shared' })).toEqual([]);
  });

  it('find folders that nothing introduces', () => {
    const files = tree({
      'src/a/b/1.ts': '',
      'src/a/b/c/2.ts': '',
      'src/a/d/1.ts': '',
      'src/a/README.md': 'x\n'.repeat(9),
    });
    expect(missingReadmes(files, 1, 9, {})).toEqual(['src/a/b has 2 files and no README.md']);
    expect(missingReadmes(files, 2, 8, {})).toEqual(['src/a/README.md has 9 lines, more than 8']);
  });
});
