import type { JsonObject, JsonValue } from '../../../xds/proto/codec.ts';

/** A host and port to bind or to call. */
export interface SocketAt {
  readonly address: string;
  readonly port: number;
}

export interface InboundPort {
  /** The port that the mesh knows the app by. */
  readonly port: number;
  readonly bind: SocketAt;
  readonly app: SocketAt;
  /** Host of the service; '' unknown. */
  readonly service: string;
}

/**
 * What a proxy says of its machine where no iptables redirect anything to it: several proxies share one address, so
 * each names its ports itself, in the node metadata's `REMORA`.
 */
export interface LaptopFacts {
  readonly inbound: readonly InboundPort[];
  /** Where the explicit proxy for the app's own calls listens. */
  readonly httpProxy: SocketAt | null;
  /** Ports of gateway servers → ports to listen on. */
  readonly portMap: ReadonlyMap<number, number>;
  /** Address that a gateway binds where its server names none; '' all. */
  readonly bind: string;
  /** The gateway serves every Gateway, whatever its selector. */
  readonly allGateways: boolean;
}

export interface DecodedFacts {
  readonly facts: LaptopFacts;
  /** `REMORA.inbound[0].bind: expected host:port, got "x"` */
  readonly problems: readonly string[];
}

const MAX_ITEMS = 64;
const MAX_TEXT = 253;
const FIELDS = ['inbound', 'httpProxy', 'portMap', 'bind', 'allGateways'];
const INBOUND_FIELDS = ['port', 'bind', 'app', 'service'];

const NOTHING: DecodedFacts = {
  facts: { inbound: [], httpProxy: null, portMap: new Map(), bind: '', allGateways: false },
  problems: [],
};

const known = new WeakMap<JsonObject, DecodedFacts>();

/** Reads the metadata that a proxy sent, once. What is wrong is left out and named; nothing is guessed. */
export function laptopFacts(metadata: JsonObject | undefined): DecodedFacts {
  if (metadata?.REMORA === undefined) return NOTHING;
  let facts = known.get(metadata);
  if (facts === undefined) {
    facts = readFacts(metadata.REMORA);
    known.set(metadata, facts);
  }
  return facts;
}

function readFacts(raw: JsonValue): DecodedFacts {
  const problems: string[] = [];
  const report = (path: string, reason: string): null => {
    problems.push(`REMORA${path}: ${reason}`);
    return null;
  };
  if (!isObject(raw)) {
    report('', 'expected an object');
    return { facts: NOTHING.facts, problems };
  }
  unknownFields(raw, FIELDS, '', report);
  const facts: LaptopFacts = {
    inbound: readInbound(raw.inbound, report),
    httpProxy: raw.httpProxy === undefined ? null : readBind(raw.httpProxy, '.httpProxy', report),
    portMap: readPortMap(raw.portMap, report),
    bind: raw.bind === undefined ? '' : (readText(raw.bind, '.bind', report) ?? ''),
    allGateways: readFlag(raw.allGateways, '.allGateways', report),
  };
  return { facts, problems };
}

type Report = (path: string, reason: string) => null;

function readInbound(value: JsonValue | undefined, report: Report): InboundPort[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > MAX_ITEMS) {
    report('.inbound', `expected a list of at most ${MAX_ITEMS} items`);
    return [];
  }
  const ports = new Set<number>();
  return value.flatMap((item, i) => {
    const at = `.inbound[${i}]`;
    if (!isObject(item)) return report(at, 'expected an object') ?? [];
    unknownFields(item, INBOUND_FIELDS, at, report);
    const port = isPort(item.port) ? item.port : report(`${at}.port`, `expected a port, got ${show(item.port)}`);
    const bind = readBind(item.bind, `${at}.bind`, report);
    const app = readSocket(item.app, `${at}.app`, report);
    const service = item.service === undefined ? '' : readText(item.service, `${at}.service`, report);
    if (port === null || bind === null || app === null || service === null) return [];
    if (ports.has(port)) return report(`${at}.port`, `${port} is there twice`) ?? [];
    ports.add(port);
    return [{ port, bind, app, service: service.toLowerCase() }];
  });
}

function readPortMap(value: JsonValue | undefined, report: Report): Map<number, number> {
  const map = new Map<number, number>();
  if (value === undefined) return map;
  const entries = isObject(value) ? Object.entries(value) : null;
  if (entries === null || entries.length > MAX_ITEMS) {
    report('.portMap', `expected an object of at most ${MAX_ITEMS} ports`);
    return map;
  }
  for (const [from, to] of entries) {
    if (!/^\d{1,5}$/.test(from) || !isPort(Number(from)) || !isPort(to))
      report(`.portMap[${show(from)}]`, 'expected port: port');
    else map.set(Number(from), to);
  }
  return map;
}

/** An address to listen on; port 0 lets the proxy pick a free one, which it then knows itself. */
function readBind(value: JsonValue | undefined, path: string, report: Report): SocketAt | null {
  const free =
    typeof value === 'string' && value.endsWith(':0') ? readSocket(`${value.slice(0, -1)}1`, path, report) : null;
  return free === null ? readSocket(value, path, report) : { ...free, port: 0 };
}

function readSocket(value: JsonValue | undefined, path: string, report: Report): SocketAt | null {
  const match = typeof value === 'string' ? /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]{1,253})):(\d{1,5})$/i.exec(value) : null;
  const port = Number(match?.[3]);
  if (match === null || !isPort(port)) return report(path, `expected address:port, got ${show(value)}`);
  return { address: match[1] ?? match[2] ?? '', port };
}

function readText(value: JsonValue, path: string, report: Report): string | null {
  if (typeof value === 'string' && value.length <= MAX_TEXT && /^[\w.:*-]*$/.test(value)) return value;
  return report(path, `expected a name or an address, got ${show(value)}`);
}

function readFlag(value: JsonValue | undefined, path: string, report: Report): boolean {
  if (value !== undefined && typeof value !== 'boolean') report(path, `expected true or false, got ${show(value)}`);
  return value === true;
}

function unknownFields(value: JsonObject, known: readonly string[], at: string, report: Report): void {
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length > 0) report(`${at}.${unknown[0]?.slice(0, 40)}`, 'unknown field');
}

function isPort(value: JsonValue | undefined): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65536;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: JsonValue | undefined): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80);
}
