/** An IPv4 address in dotted decimal as octets, or null. */
export function parseIPv4(text: string): Uint8Array | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  const octets = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    // No leading zeros: some read them as octal.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    octets[i] = Number(part);
  }
  return octets;
}

/** An IPv6 address (RFC 4291 section 2.2, without a zone) as octets, or null. */
export function parseIPv6(text: string): Uint8Array | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = groups(halves[0]!);
  const tail = halves.length === 2 ? groups(halves[1]!) : [];
  if (head === null || tail === null) return null;
  // Dotted decimal stands at the end only.
  if (halves.length === 2 && halves[0]!.includes('.')) return null;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return null;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

function groups(text: string): number[] | null {
  if (text === '') return [];
  const octets: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (i === parts.length - 1 && part.includes('.')) {
      const four = parseIPv4(part);
      if (four === null) return null;
      octets.push(...four);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null;
      const value = Number.parseInt(part, 16);
      octets.push(value >> 8, value & 255);
    }
  }
  return octets;
}

export function formatIPv4(octets: Uint8Array): string {
  return octets.join('.');
}

/** RFC 5952: lower case, the longest run of zero groups as `::`; a mapped IPv4 address is written as such. */
export function formatIPv6(octets: Uint8Array): string {
  if (octets.subarray(0, 10).every((octet) => octet === 0) && octets[10] === 255 && octets[11] === 255) {
    return `::ffff:${formatIPv4(octets.subarray(12))}`;
  }
  const values: number[] = [];
  for (let i = 0; i < 16; i += 2) values.push((octets[i]! << 8) | octets[i + 1]!);
  let best = 0;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && values[i + length] === 0) length++;
    if (length > bestLength) {
      best = i;
      bestLength = length;
    }
  }
  const text = (part: readonly number[]): string => part.map((value) => value.toString(16)).join(':');
  return bestLength < 2 ? text(values) : `${text(values.slice(0, best))}::${text(values.slice(best + bestLength))}`;
}
