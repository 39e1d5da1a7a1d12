import type { GatewayServer, ServerTls, TlsVersion } from '../../mesh/gateway.ts';
import { objectName } from '../../source/collection.ts';
import { placeOf } from '../../source/finding.ts';
import type { Path, Sink } from '../../source/schema/type.ts';
import type { Decoded } from '../decoded.ts';
import { isAddress } from '../names.ts';
import { checkPort, isLabel, isWildcardHost } from './check.ts';
import type { GatewaySpec } from './fields/gateway.ts';

const PROTOCOLS: Readonly<Record<string, GatewayServer['protocol']>> = {
  HTTP: 'HTTP',
  HTTPS: 'HTTPS',
  HTTP2: 'HTTP2',
  GRPC: 'GRPC',
  'GRPC-WEB': 'HTTP',
  TCP: 'TCP',
  MONGO: 'TCP',
  MYSQL: 'TCP',
  REDIS: 'TCP',
  TLS: 'TLS',
};

export function checkGateway(spec: GatewaySpec, sink: Sink): void {
  if (spec.servers.length === 0) sink.error('missing-field', ['spec', 'servers'], 'at least one server is required');
  const names = new Map<string, number>();
  for (const [i, server] of spec.servers.entries()) {
    const path = ['spec', 'servers', i];
    checkPort(server.port.number, [...path, 'port', 'number'], sink);
    checkServerName(server.name ?? '', i, names, [...path, 'name'], sink);
    if (server.bind !== undefined && server.bind !== '' && !isAddress(server.bind)) {
      sink.error('invalid-value', [...path, 'bind'], `expected an IP address, got ${JSON.stringify(server.bind)}`);
    }
    if (server.hosts.length === 0) sink.error('missing-field', [...path, 'hosts'], 'at least one host is required');
    for (const [j, host] of server.hosts.entries()) checkHost(host, [...path, 'hosts', j], sink);
    checkProtocol(server, path, sink);
  }
}

function checkServerName(name: string, index: number, names: Map<string, number>, path: Path, sink: Sink): void {
  if (name === '') return;
  const other = names.get(name);
  if (other === undefined) names.set(name, index);
  else sink.error('duplicate-name', path, `servers[${other}] has the same name ${JSON.stringify(name)}`);
}

function checkHost(text: string, path: Path, sink: Sink): void {
  const slash = text.indexOf('/');
  const space = slash < 0 ? '*' : text.slice(0, slash);
  const host = text.slice(slash + 1);
  if (space !== '*' && space !== '.' && !isLabel(space)) {
    sink.error('invalid-host', path, `expected ".", "*" or a namespace before "/", got ${JSON.stringify(space)}`);
  }
  if (!isWildcardHost(host) && !isAddress(host)) {
    sink.error('invalid-host', path, `${JSON.stringify(host)} is not a host: write a name, *.name or *`);
  }
}

function checkProtocol(server: GatewaySpec['servers'][number], path: Path, sink: Sink): void {
  const protocol = PROTOCOLS[server.port.protocol.toUpperCase()];
  const at = [...path, 'port', 'protocol'];
  if (protocol === undefined) {
    sink.error(
      'invalid-value',
      at,
      `expected one of ${Object.keys(PROTOCOLS).join(', ')}, got ${JSON.stringify(server.port.protocol)}`,
    );
  } else if (protocol === 'TLS') {
    checkPassthrough(server.tls, [...path, 'tls'], sink);
  } else if (protocol === 'HTTPS') {
    checkTls(server.tls, [...path, 'tls'], sink);
  } else if (server.tls?.mode !== undefined) {
    sink.error('conflicting-fields', [...path, 'tls'], `${server.port.protocol} has no TLS: write protocol: HTTPS`);
  } else if (protocol === 'TCP') {
    sink.warning(
      'no-effect',
      at,
      `${server.port.protocol} has no effect: gateways do not forward TCP yet, and the port stays closed`,
    );
  }
  if (server.tls?.httpsRedirect === true && (protocol === 'TCP' || protocol === 'TLS')) {
    sink.warning('no-effect', [...path, 'tls', 'httpsRedirect'], 'only HTTP can be redirected');
  }
}

/** Of a server whose protocol is TLS, or whose mode says that it is passed on. */
function checkPassthrough(tls: GatewaySpec['servers'][number]['tls'], path: Path, sink: Sink): void {
  if (tls?.mode !== 'PASSTHROUGH') {
    const message = 'gateways end TLS of HTTP alone yet: write protocol: HTTPS, or tls.mode: PASSTHROUGH';
    sink.error(tls?.mode === undefined ? 'missing-field' : 'refused-value', [...path, 'mode'], message);
    return;
  }
  checkNoCertificate(tls, 'it passes TLS on', path, sink);
}

/** Istio refuses it too. */
function checkNoCertificate(
  tls: NonNullable<GatewaySpec['servers'][number]['tls']>,
  why: string,
  path: Path,
  sink: Sink,
): void {
  for (const name of ['credentialName', 'serverCertificate', 'privateKey', 'caCertificates'] as const) {
    if (tls[name]) sink.error('conflicting-fields', [...path, name], `${tls.mode} has no ${name}: ${why}`);
  }
}

/** What would be plain text, or trust everybody, is refused. */
function checkTls(tls: GatewaySpec['servers'][number]['tls'], path: Path, sink: Sink): void {
  if (tls?.mode === undefined) {
    sink.error(
      'missing-field',
      [...path, 'mode'],
      'HTTPS needs tls.mode: SIMPLE, MUTUAL, OPTIONAL_MUTUAL, ISTIO_MUTUAL or PASSTHROUGH',
    );
    return;
  }
  if (tls.mode === 'PASSTHROUGH' || tls.mode === 'ISTIO_MUTUAL') {
    checkNoCertificate(tls, tls.mode === 'PASSTHROUGH' ? 'it passes TLS on' : 'the mesh’s own is shown', path, sink);
    return;
  }
  const { credentialName = '', serverCertificate = '', privateKey = '', caCertificates = '' } = tls;
  const files = serverCertificate !== '' || privateKey !== '' || caCertificates !== '';
  if (credentialName === '' && !files)
    sink.error('missing-field', [...path, 'credentialName'], 'HTTPS needs the name of a Secret with a certificate');
  else if (credentialName !== '' && files)
    sink.error('conflicting-fields', [...path, 'credentialName'], 'only one of credentialName and files may be given');
  else if (credentialName === '') {
    if (serverCertificate === '' || privateKey === '')
      sink.error('missing-field', path, 'serverCertificate and privateKey go together');
    if (tls.mode !== 'SIMPLE' && caCertificates === '')
      sink.error('missing-field', [...path, 'caCertificates'], `${tls.mode} needs the roots of its clients`);
  }
}

/** Of an HTTPS server; the check has seen that it is whole. */
function serverTls({ tls, port }: GatewaySpec['servers'][number]): ServerTls | null {
  if (PROTOCOLS[port.protocol.toUpperCase()] !== 'HTTPS' || tls === undefined) return null;
  const { mode } = tls;
  if (mode !== 'SIMPLE' && mode !== 'MUTUAL' && mode !== 'OPTIONAL_MUTUAL' && mode !== 'ISTIO_MUTUAL') return null;
  const version = (text: string | undefined): TlsVersion | null =>
    text === undefined || text === 'TLS_AUTO' ? null : (text as TlsVersion);
  return {
    mode,
    credential: tls.credentialName ?? '',
    files: { certificate: tls.serverCertificate ?? '', key: tls.privateKey ?? '', roots: tls.caCertificates ?? '' },
    subjectAltNames: tls.subjectAltNames ?? [],
    spki: tls.verifyCertificateSpki ?? [],
    hashes: tls.verifyCertificateHash ?? [],
    minVersion: version(tls.minProtocolVersion),
    maxVersion: version(tls.maxProtocolVersion),
    cipherSuites: tls.cipherSuites ?? [],
  };
}

function isPassthrough({ tls, port }: GatewaySpec['servers'][number]): boolean {
  const protocol = PROTOCOLS[port.protocol.toUpperCase()];
  return tls?.mode === 'PASSTHROUGH' && (protocol === 'TLS' || protocol === 'HTTPS');
}

/** The servers of a Gateway. `./host` names hosts of its own namespace's objects, `host` those of all. */
export function gatewayServers({ object, value }: Decoded<'Gateway'>): readonly GatewayServer[] {
  return value.servers.map((server, i) => ({
    gateway: `${object.namespace}/${object.name}`,
    selector: value.selector ?? {},
    port: server.port.number,
    portName: server.port.name ?? '',
    protocol: PROTOCOLS[server.port.protocol.toUpperCase()] ?? 'TCP',
    bind: server.bind ?? '',
    hosts: server.hosts.map((text) => {
      const slash = text.indexOf('/');
      const space = slash < 0 ? '*' : text.slice(0, slash);
      return { namespace: space === '.' ? object.namespace : space, host: text.slice(slash + 1).toLowerCase() };
    }),
    httpsRedirect: server.tls?.httpsRedirect ?? false,
    passthrough: isPassthrough(server),
    tls: serverTls(server),
    written: { object: objectName(object), place: placeOf(object, ['spec', 'servers', i]) },
  }));
}
