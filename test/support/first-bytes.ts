/** A ClientHello in TLS records of at most `recordBytes` (default: one record). RFC 8446 section 4.1.2. */
export function clientHello({
  serverName = '',
  protocols = [],
  recordBytes = 16_384,
  padding = 0,
}: {
  readonly serverName?: string;
  readonly protocols?: readonly string[];
  readonly recordBytes?: number;
  /** Octets of an extension that says nothing. */
  readonly padding?: number;
} = {}): Buffer {
  const extensions: Buffer[] = [];
  if (serverName !== '') extensions.push(extension(0, vector(2, Buffer.from([0]), vector(2, Buffer.from(serverName)))));
  if (protocols.length > 0) {
    extensions.push(extension(16, vector(2, ...protocols.map((name) => vector(1, Buffer.from(name))))));
  }
  extensions.push(extension(43, vector(1, Buffer.from([3, 4, 3, 3]))));
  if (padding > 0) extensions.push(extension(21, Buffer.alloc(padding)));
  const hello = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 9)),
    vector(2, Buffer.from([0x13, 0x01])),
    vector(1, Buffer.from([0])),
    vector(2, ...extensions),
  ]);
  const message = Buffer.concat([Buffer.from([1]), number(3, hello.length), hello]);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordBytes) {
    records.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + recordBytes)));
  }
  return Buffer.concat(records);
}

/** A PROXY v2 header over IPv4, with TLVs. */
export function proxyV2(
  source: string,
  destination: string,
  tlvs: readonly (readonly [number, string])[] = [],
): Buffer {
  const ends = [source, destination].map((end) => end.split(':'));
  const body = Buffer.concat([
    ...ends.map(([host]) => Buffer.from(host!.split('.').map(Number))),
    ...ends.map(([, port]) => number(2, Number(port))),
    ...tlvs.map(([type, value]) => Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(value))])),
  ]);
  return Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), Buffer.from([0x21, 0x11]), vector(2, body)]);
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([number(2, type), vector(2, content)]);
}

/** The parts with their length in front. */
function vector(lengthOctets: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([number(lengthOctets, content.length), content]);
}

function number(octets: number, value: number): Buffer {
  const bytes = Buffer.alloc(octets);
  bytes.writeUIntBE(value, 0, octets);
  return bytes;
}
