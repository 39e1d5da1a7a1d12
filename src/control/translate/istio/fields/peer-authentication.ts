import { map, message } from '../../../source/schema/message.ts';
import { enumeration } from '../../../source/schema/scalar.ts';
import { effective, type Read } from '../../../source/schema/type.ts';
import { typeWorkloadSelector } from './destination-rule.ts';

export const mutualTls = message('PeerAuthentication.MutualTLS', {
  mode: effective(
    enumeration('Mode', { UNSET: 'effective', DISABLE: 'effective', PERMISSIVE: 'effective', STRICT: 'effective' }),
  ),
});

export const peerAuthentication = message('PeerAuthentication', {
  selector: effective(typeWorkloadSelector),
  mtls: effective(mutualTls),
  portLevelMtls: effective({ ...map(mutualTls), name: 'map<uint32, MutualTLS>' }),
});

export type PeerAuthenticationSpec = Read<typeof peerAuthentication>;

export const PEER_AUTHENTICATION_MESSAGES = {
  PeerAuthentication: peerAuthentication,
  'PeerAuthentication.MutualTLS': mutualTls,
} as const;
