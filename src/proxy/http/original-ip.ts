import { isIP, isIPv4 } from '../../base/ip.ts';
import type { OriginalIpDetection } from '../../model/http-connection-manager.ts';
import type { RequestHead } from '../../protocol/http/message.ts';

/** What one detector found; reused, since it is read at once. */
export const detected = {
  /** '' when it could not tell. */
  address: '',
  /** The address may make the caller internal. */
  trusted: false,
  /** Status to refuse the request with; 0: it goes on. */
  rejectStatus: 0,
};

type Detector = (head: RequestHead) => void;

/** Who the client is by `original_ip_detection_extensions`: the first that knows, or refuses, decides. */
export class OriginalIp {
  readonly #detectors: readonly Detector[];

  constructor(configs: readonly OriginalIpDetection[]) {
    this.#detectors = configs.map((config) => (config.kind === 'xff' ? compileXff(config) : compileHeader(config)));
  }

  /** Fills {@link detected}. */
  detect(head: RequestHead): void {
    for (const detector of this.#detectors) {
      detected.address = '';
      detected.trusted = false;
      detected.rejectStatus = 0;
      detector(head);
      if (detected.address !== '' || detected.rejectStatus > 0) return;
    }
  }
}

function compileXff({ trustedHops }: OriginalIpDetection & { kind: 'xff' }): Detector {
  return (head) => {
    const forwardedFor = head.headers.getJoined('x-forwarded-for');
    if (forwardedFor !== undefined) fromEnd(forwardedFor, trustedHops);
  };
}

/** Envoy's getLastAddressFromXFF: trusted when it is the only one. */
function fromEnd(forwardedFor: string, skip: number): void {
  let end = forwardedFor.length;
  for (let i = 0; i < skip; i++) {
    end = forwardedFor.lastIndexOf(',', end - 1);
    if (end <= 0) return;
  }
  const comma = forwardedFor.lastIndexOf(',', end - 1);
  const address = forwardedFor.slice(comma + 1, end).trim();
  if (isIP(address) === 0) return;
  detected.address = address;
  detected.trusted = comma < 0 && skip === 0;
}

function compileHeader({ header, trusted, rejectStatus }: OriginalIpDetection & { kind: 'header' }): Detector {
  return (head) => {
    const address = head.headers.get(header)?.trim() ?? '';
    if (isIP(address) > 0) {
      detected.address = address;
      detected.trusted = trusted;
    } else if (rejectStatus !== null) detected.rejectStatus = rejectStatus;
  };
}

/** An IPv4 address as IPv6 (RFC 4291 section 2.5.5.2). */
export function asMapped(address: string): string {
  return isIPv4(address) ? `::ffff:${address}` : address;
}
