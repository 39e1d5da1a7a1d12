import { existsSync } from 'node:fs';
import { ConfigError } from '../base/errors.ts';
import { spiffeId } from '../base/spiffe.ts';
import type { IdentitySettings, SecureTarget } from '../proxy/runtime/identity.ts';

/** What flags and the environment of a proxy say of its identity. */
export interface IdentityFlags {
  readonly caAddress?: string;
  readonly caToken?: string;
  readonly caRoot?: string;
  readonly trustDomain?: string;
  readonly lastGoodIdentity?: string;
}

/** Where injection puts the projected token and the mesh's root, as Istio does. */
const TOKEN_PATH = '/var/run/secrets/tokens/istio-token';
const ROOTS_PATH = '/var/run/secrets/istio/root-cert.pem';
/** Istio's port for xDS and the CA by TLS. */
const SECURE_PORT = 15012;

type Environment = Readonly<Record<string, string | undefined>>;

/** null: nobody said where a CA is. `control` is the xDS address as it was given. */
export function identitySettings(
  flags: IdentityFlags,
  env: Environment,
  control: string,
  workload: { readonly namespace: string; readonly serviceAccount: string },
): IdentitySettings | null {
  const address = flags.caAddress ?? env.CA_ADDR ?? '';
  if (address === '') return null;
  const trustDomain = flags.trustDomain ?? (env.TRUST_DOMAIN || 'cluster.local');
  const given = (flag: string | undefined, path: string): string => flag ?? (existsSync(path) ? path : '');
  const [ca, ads] = [secureTarget(address, '--ca-address'), secureTarget(control, '--control')];
  return {
    id: { trustDomain, namespace: workload.namespace, serviceAccount: workload.serviceAccount || 'default' },
    ca,
    control: ads,
    tokenPath: given(flags.caToken, TOKEN_PATH),
    // By TLS there is no way without a root; a file that is not there yet is waited for.
    rootsPath: flags.caRoot ?? (ca.secure || ads.secure ? ROOTS_PATH : ''),
    keptPath: flags.lastGoodIdentity ?? '',
    ttlS: 0,
  };
}

/** `https://host:port`, `http://host:port`, or `host:port`, which means TLS on port 15012 and nowhere else. */
export function secureTarget(text: string, flag: string): SecureTarget {
  const [, scheme = '', address = ''] =
    /^(?:(https?):\/\/)?((?:\[[0-9a-fA-F:.]+\]|[^:/\s]+):\d{1,5})$/.exec(text) ?? [];
  if (address === '')
    throw new ConfigError(`${flag} ${text}: must be host:port, https://host:port or http://host:port`);
  return { address, secure: scheme === 'https' || (scheme === '' && address.endsWith(`:${SECURE_PORT}`)) };
}

/** Says in the node's metadata that the proxy can speak mutual TLS, and as whom. */
export function identityMetadata(identity: IdentitySettings | null): { REMORA_IDENTITY?: string } {
  return identity === null ? {} : { REMORA_IDENTITY: spiffeId(identity.id) };
}
