import { parse } from 'yaml';
import { ConfigError, messageOf } from '../../base/errors.ts';
import { didYouMean } from '../source/schema/suggest.ts';
import { isRecord, show } from '../source/schema/type.ts';
import {
  INTERCEPTION_MODES,
  NO_PROXY_CONFIG,
  type ProxyConfig,
  readProxyConfig,
} from '../translate/istio/proxy-config.ts';
import { isUserId, USER_ID } from './annotations.ts';
import type { InjectionSettings } from './settings.ts';

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  imagePullPolicy: ['Always', 'IfNotPresent', 'Never'],
  interceptionMode: INTERCEPTION_MODES,
};

/** Settings of a file, YAML or JSON, over the defaults. Throws ConfigError that names every field that is wrong. */
export function readSettings(text: string, file: string, defaults: InjectionSettings): InjectionSettings {
  let raw: unknown;
  try {
    raw = parse(text, { maxAliasCount: 0 }) ?? {};
  } catch (error) {
    throw new ConfigError(`${file} is not YAML: ${messageOf(error).split('\n', 1)[0]}`, [], error);
  }
  const problems: string[] = [];
  const read = over(raw, defaults as unknown as Readonly<Record<string, unknown>>, '', problems);
  const ports = Object.entries((read as InjectionSettings).ports);
  for (const [i, [name, port]] of ports.entries()) {
    const same = ports.slice(0, i).find(([, other]) => other === port);
    if (same !== undefined) problems.push(`ports.${name}: is that of ports.${same[0]} too: each needs its own`);
  }
  if (problems.length > 0) throw new ConfigError(`${file} has no valid settings of injection`, problems);
  return read as unknown as InjectionSettings;
}

/** Each field has the type of its default; maps of texts (requests, limits) take any name. */
function over(raw: unknown, defaults: Readonly<Record<string, unknown>>, path: string, problems: string[]): unknown {
  if (!isRecord(raw)) {
    problems.push(`${path || 'the file'}: expected an object, got ${show(raw)}`);
    return defaults;
  }
  const free = /^resources\.(requests|limits)$/.test(path);
  const read: Record<string, unknown> = free ? {} : { ...defaults };
  for (const [name, value] of Object.entries(raw)) {
    const at = path === '' ? name : `${path}.${name}`;
    const fallback = free ? '' : defaults[name];
    if (fallback === undefined) {
      problems.push(`${at}: is no setting of injection${didYouMean(name, Object.keys(defaults))}`);
    } else if (name === 'proxyConfig') {
      read[name] = proxyConfig(value, at, problems);
    } else if (isRecord(fallback)) {
      read[name] = over(value, fallback, at, problems);
    } else if (typeof value !== typeof fallback) {
      problems.push(`${at}: expected a ${typeof fallback}, got ${show(value)}`);
    } else if (CHOICES[name] !== undefined && !CHOICES[name].includes(String(value))) {
      problems.push(`${at}: must be one of ${CHOICES[name].join(', ')}, got ${show(value)}`);
    } else if (typeof value === 'number' && path === 'ports' && !isWhole(value, 1, 65535)) {
      problems.push(`${at}: must be a port, 1 to 65535, got ${value}`);
    } else if (typeof value === 'number' && name === 'proxyUser' && !isUserId(value)) {
      problems.push(`${at}: must be ${USER_ID}, got ${value}`);
    } else if (typeof value === 'number' && path !== 'ports' && name !== 'proxyUser' && !isWhole(value, 0, 3600)) {
      problems.push(`${at}: must be whole seconds, 0 to 3600, got ${value}`);
    } else {
      read[name] = value;
    }
  }
  return read;
}

/** What has no effect in it is no mistake here: the file may be the one that Istio had. */
function proxyConfig(raw: unknown, at: string, problems: string[]): ProxyConfig {
  return readProxyConfig(raw, {
    error: (path, message) => problems.push(`${at}${path === '' ? '' : `.${path}`} ${message}`),
    warning: () => {},
  });
}

/**
 * The ProxyConfig of a mesh: `defaultConfig` of a MeshConfig's YAML, or of the ConfigMap that holds it. Throws ConfigError
 * that names what is wrong.
 */
export function readMeshProxyConfig(text: string, file: string): ProxyConfig {
  let raw: unknown;
  try {
    raw = parse(text, { maxAliasCount: 0 });
    const data = isRecord(raw) && raw.kind === 'ConfigMap' ? raw.data : undefined;
    if (isRecord(data) && typeof data.mesh === 'string') raw = parse(data.mesh, { maxAliasCount: 0 });
  } catch (error) {
    throw new ConfigError(`${file} is not YAML: ${messageOf(error).split('\n', 1)[0]}`, [], error);
  }
  const problems: string[] = [];
  if (raw !== null && !isRecord(raw)) problems.push(`expected an object, got ${show(raw)}`);
  const config = isRecord(raw) ? proxyConfig(raw.defaultConfig ?? null, 'defaultConfig', problems) : NO_PROXY_CONFIG;
  if (problems.length > 0) throw new ConfigError(`${file} has no valid MeshConfig`, problems);
  return config;
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
