import { Der, type DerElement, derAt, derItems, derOid, derText } from './der.ts';

/** One subject alternative name (RFC 5280, 4.2.1.6). */
export interface SubjectAltName {
  readonly kind: 'EMAIL' | 'DNS' | 'URI' | 'IP_ADDRESS' | 'OTHER_NAME';
  readonly value: string;
  /** Type of an OTHER_NAME, dotted; '' otherwise. */
  readonly oid: string;
}

/** What a certificate says, read from its DER. Names are as RFC 2253 writes them and Envoy prints them. */
export interface CertificateFacts {
  readonly subject: string;
  readonly issuer: string;
  /** `CN` of the subject; '' none. */
  readonly commonName: string;
  /** Lower-case hex, without leading zero bytes. */
  readonly serial: string;
  /** Wall times, ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly sans: readonly SubjectAltName[];
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly isCa: boolean;
  /** Key usages by bit (RFC 5280, 4.2.1.3); null when the certificate does not limit them. */
  readonly keyUsage: number | null;
}

/** Bits of {@link CertificateFacts.keyUsage}, counted from the first. */
export const KeyUsage = { KeyCertSign: 1 << 5, CrlSign: 1 << 6 } as const;

/** Reads a DER certificate. Throws RangeError for bytes that are none. */
export function readCertificate(der: Buffer): CertificateFacts {
  const [tbs] = derItems(der, derAt(der, 0, der.length));
  if (tbs === undefined) throw new RangeError('DER: an empty certificate');
  const fields = derItems(der, tbs);
  // [0] version is left out of version 1 certificates.
  if (fields[0]?.tag === 0xa0) fields.shift();
  const [serial, , issuer, validity, subject, spki] = fields;
  if (serial === undefined || issuer === undefined || validity === undefined || subject === undefined || !spki) {
    throw new RangeError('DER: a certificate without its fields');
  }
  const [notBefore, notAfter] = derItems(der, validity);
  const subjectName = readName(der, subject);
  const found = readExtensions(
    der,
    fields.find(({ tag }) => tag === 0xa3),
  );
  return {
    subject: printName(subjectName),
    issuer: printName(readName(der, issuer)),
    commonName: subjectName.flat().find(({ oid }) => oid === '2.5.4.3')?.text ?? '',
    serial: der.toString('hex', serial.start, serial.end).replace(/^(?:00)+(?=..)/, ''),
    notBefore: readTime(der, notBefore),
    notAfter: readTime(der, notAfter),
    sans: found.sans,
    // With its own header: it begins where the subject ends.
    spki: der.subarray(subject.end, spki.end),
    isCa: found.isCa,
    keyUsage: found.keyUsage,
  };
}

interface Attribute {
  readonly oid: string;
  /** undefined: no string, `#` and the hex of its DER is printed. */
  readonly text: string | undefined;
  readonly hex: string;
}

/** Short names of attribute types (RFC 4519, OpenSSL's objects.txt). */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['2.5.4.3', 'CN'],
  ['2.5.4.4', 'SN'],
  ['2.5.4.5', 'serialNumber'],
  ['2.5.4.6', 'C'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
  ['2.5.4.9', 'street'],
  ['2.5.4.10', 'O'],
  ['2.5.4.11', 'OU'],
  ['2.5.4.12', 'title'],
  ['2.5.4.15', 'businessCategory'],
  ['2.5.4.17', 'postalCode'],
  ['2.5.4.42', 'GN'],
  ['2.5.4.43', 'initials'],
  ['2.5.4.46', 'dnQualifier'],
  ['0.9.2342.19200300.100.1.1', 'UID'],
  ['0.9.2342.19200300.100.1.25', 'DC'],
  ['1.2.840.113549.1.9.1', 'emailAddress'],
]);

function readName(der: Buffer, name: DerElement): Attribute[][] {
  return derItems(der, name).map((rdn) =>
    derItems(der, rdn).map((pair) => {
      const [type, value] = derItems(der, pair);
      if (type === undefined || value === undefined) throw new RangeError('DER: an attribute without its value');
      return {
        oid: derOid(der, type),
        text: derText(der, value),
        hex: der.toString('hex', type.end, value.end).toUpperCase(),
      };
    }),
  );
}

/** RFC 2253: last RDN first, `,` between them, `+` inside of one that has several attributes. */
function printName(name: readonly (readonly Attribute[])[]): string {
  return name
    .map((rdn) =>
      rdn
        .map(({ oid, text, hex }) => {
          const short = SHORT_NAMES.get(oid);
          return short === undefined || text === undefined ? `${short ?? oid}=#${hex}` : `${short}=${escapeName(text)}`;
        })
        .reverse()
        .join('+'),
    )
    .reverse()
    .join(',');
}

function escapeName(text: string): string {
  let out = '';
  const { length } = text;
  let at = 0;
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (code > 0x7e || code < 0x20) {
      for (const byte of Buffer.from(char)) out += `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    } else {
      const edge = (char === ' ' && (at === 0 || at === length - 1)) || (char === '#' && at === 0);
      out += edge || ',+"\\<>;'.includes(char) ? `\\${char}` : char;
    }
    at += char.length;
  }
  return out;
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?/;

function readTime(der: Buffer, time: DerElement | undefined): number {
  if (time === undefined) throw new RangeError('DER: a validity without its times');
  const text = der.toString('latin1', time.start, time.end);
  const parts = (time.tag === Der.UtcTime ? UTC_TIME : GENERALIZED_TIME).exec(text);
  if (parts === null) throw new RangeError('DER: a time that is none');
  const [, year = '', month, day, hour, minute, second = '0'] = parts;
  // Two digits are 1950 to 2049 (RFC 5280, 4.1.2.5.1).
  const full = year.length === 4 ? Number(year) : Number(year) + (Number(year) < 50 ? 2000 : 1900);
  return Date.UTC(full, Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
}

interface Extensions {
  sans: SubjectAltName[];
  isCa: boolean;
  keyUsage: number | null;
}

function readExtensions(der: Buffer, wrapper: DerElement | undefined): Extensions {
  const found: Extensions = { sans: [], isCa: false, keyUsage: null };
  if (wrapper === undefined) return found;
  for (const extension of derItems(der, derAt(der, wrapper.start, wrapper.end))) {
    const parts = derItems(der, extension);
    const [id] = parts;
    const value = parts.at(-1);
    if (id === undefined || value?.tag !== Der.OctetString) continue;
    const content = (): DerElement => derAt(der, value.start, value.end);
    switch (derOid(der, id)) {
      case '2.5.29.15': {
        const bits = content();
        let usage = 0;
        for (let bit = 0; bit < (bits.end - bits.start - 1) * 8 && bit < 9; bit++) {
          if ((der[bits.start + 1 + (bit >> 3)]! & (0x80 >> (bit & 7))) !== 0) usage |= 1 << bit;
        }
        found.keyUsage = usage;
        break;
      }
      case '2.5.29.17':
        found.sans = derItems(der, content()).flatMap((name) => readAltName(der, name) ?? []);
        break;
      case '2.5.29.19': {
        const [flag] = derItems(der, content());
        found.isCa = flag?.tag === Der.Boolean && der[flag.start] !== 0;
        break;
      }
      default:
    }
  }
  return found;
}

function readAltName(der: Buffer, name: DerElement): SubjectAltName | undefined {
  const text = (kind: SubjectAltName['kind']): SubjectAltName => ({
    kind,
    value: der.toString('latin1', name.start, name.end),
    oid: '',
  });
  switch (name.tag) {
    case 0x81:
      return text('EMAIL');
    case 0x82:
      return text('DNS');
    case 0x86:
      return text('URI');
    case 0x87:
      return { kind: 'IP_ADDRESS', value: printAddress(der.subarray(name.start, name.end)), oid: '' };
    case 0xa0: {
      const [type, wrapped] = derItems(der, name);
      if (type === undefined || wrapped === undefined) return undefined;
      const value = derText(der, derAt(der, wrapped.start, wrapped.end));
      return value === undefined ? undefined : { kind: 'OTHER_NAME', value, oid: derOid(der, type) };
    }
    default:
      return undefined;
  }
}

function printAddress(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return '';
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  // The URL parser knows how an IPv6 address is shortened (RFC 5952).
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
