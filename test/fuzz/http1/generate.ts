/** Requests and responses from a grammar that is wrong here and there, then mutated; from a seed, so that a case can be had again. */

export class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 0 || 1;
  }
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }
  below(n: number): number {
    return this.next() % n;
  }
  /** True `percent` times in a hundred. */
  chance(percent: number): boolean {
    return this.next() % 100 < percent;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.next() % from.length]!;
  }
}

export interface FuzzCase {
  type: 'request' | 'response';
  bytes: Buffer;
  /** Where the bytes are split, ascending. */
  cuts: number[];
  /** For responses: the methods of the requests they answer; `UPGRADE` is a GET that asked for one. */
  methods: string[];
}

const METHODS = ['GET', 'GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH'];
const ODD_METHODS = [
  'CONNECT',
  'get',
  'PRI',
  'FOO',
  'M-SEARCH',
  'G ET',
  '',
  'TRACE',
  'PROPFIND',
  'GET\t',
  '(',
  'PURGE',
  'SOURCE',
  'X'.repeat(31),
  'X'.repeat(32),
  'X'.repeat(33),
];
const TARGETS = ['/', '/a', '/a/b?c=d', '/?x=%20y', '/%2e%2e/', '/a;b=c', '/~u/:1@2'];
const ODD_TARGETS = [
  '*',
  'http://a/',
  'http://a:80/b',
  'HTTP://A',
  'https://a?b',
  'http://u@a/',
  'http://',
  'http:///a',
  'ftp://a/',
  'a:443',
  'a',
  '[::1]:80',
  '/#f',
  '/a#',
  '/ b',
  '/\x80',
  '/\t',
  '/a|b',
  '/"',
  '',
  '//',
  '/\\',
  '?a',
  'http://a,b/',
  'http://a:99999/',
  '/\x7f',
  '/?#',
];
const VERSIONS = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'];
const ODD_VERSIONS = [
  'HTTP/2.0',
  'HTTP/0.9',
  'HTTP/1.2',
  'http/1.1',
  'HTTP/1.',
  'HTTP/11',
  '',
  'ICE/1.0',
  'HTTP/1.10',
  'RTSP/1.0',
  'HTTP/1.1 ',
];
const HEADERS = [
  'Accept: */*',
  'User-Agent: x',
  'x-empty:',
  'X-Obs: \xe9\xff',
  'X-Tab: a\tb',
  'X-Pad:   v  ',
  'Connection: keep-alive',
  'Connection: close',
  'Cookie: a=b; c=d',
  'Expect: 100-continue',
  'TE: trailers',
  'Keep-Alive: timeout=5',
  "!#$%&'*+-.^_`|~: 1",
  'Via: 1.1 a',
  'Trailer: X',
];
const ODD_HEADERS = [
  'Host: b',
  'Host:',
  'Host: a b',
  'Host: a,b',
  'Host: a@b',
  'host: a:port',
  'Host: [::1]:8080',
  'Host : a',
  ' X: folded',
  '\tX: folded',
  'X : 1',
  'X',
  ': 1',
  'X: \x00',
  'X: \x01',
  'X: \x7f',
  'X: a\rb',
  'X\x00: 1',
  'X\x80: 1',
  'X(: 1',
  'Content-Length: 5, 5',
  'Content-Length: +5',
  'Content-Length: -1',
  'Content-Length: 0x5',
  'Content-Length: 5 5',
  'Content-Length:',
  'Content-Length: 99999999999999999999',
  'Content-Length: 18446744073709551616',
  'Content-Length: 05',
  'Content-Length: 0',
  'Content-Length: 3',
  'Content-Length: 5',
  'content-length: 1_0',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: CHUNKED',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, gzip',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunked;q=1',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding:',
  'Transfer-Encoding:\tchunked',
  'Transfer-Encoding: chunked\t',
  'Transfer-Encoding: ,chunked',
  'Transfer-Encoding : chunked',
  'Transfer_Encoding: chunked',
  'Transfer-Encoding: \x0bchunked',
  'Proxy-Connection: close',
  'Connection: close, x',
  'Connection: Keep-Alive, Close',
  'Connection: x, upgrade',
  'Upgrade: websocket',
  'Connection: upgrade\r\nUpgrade: websocket',
  'Connection: ,close,',
  'Connection: a,b,c,d,e,f,g,h,i,j,k,l',
  'Connection: closed',
  'Connection: content-length',
  'Connection: \tclose\t',
];
const EOLS = ['\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n', '\r\n ', '', '\0\r\n'];
const SIZE_FORMS = ['+', '-', '0x', ' ', '_', '\t', '00000', '0000000000000000', 'g', '\r\n'];
const EXTENSIONS = [
  ';a',
  ';a=b',
  ';a="b"',
  ';a="b\\"c"',
  ';a=b;c=d',
  ';',
  ';a=',
  '; a=b',
  ';a =b',
  ';a= b',
  ' ;a',
  ';a="',
  ';a="\r\n',
  ';a\n',
  ';=b',
  ';a="b"c',
  ';a;',
  ';\x00',
  ';a=\x80',
  ';a="\x80"',
  ';a="\x01"',
  ' ',
  '\t',
  ';a="\\\x80"',
  ';a=b ',
  ';a\r',
];
const TRAILERS = [
  'X: y',
  'X-Sum: 1\r\nY: 2',
  'Host: a',
  'Content-Length: 3',
  ' folded',
  'X : y',
  'Transfer-Encoding: chunked',
  'Z:',
  ': z',
  'X: \x00',
  'Connection: close',
  'Set-Cookie: a',
  'X_Y: z',
  'X: y\r\n folded',
];
const INSERTS = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '\x80',
  '\xff',
  '\x7f',
  '0',
  '1',
  'a',
  '"',
  '#',
  '\r\n\r\n',
  '0\r\n\r\n',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'Host: z\r\n',
  'HTTP/1.1',
  '\\',
  '\x0b',
  '\x0c',
  '=',
  '@',
  '/',
];

export function generate(dice: Dice): FuzzCase {
  const type = dice.chance(60) ? 'request' : 'response';
  const methods: string[] = [];
  let text = '';
  if (dice.next() % 500 === 0) return atLimit(dice);
  const count = dice.chance(60) ? 1 : 1 + dice.below(3);
  for (let i = 0; i < count; i++) text += type === 'request' ? request(dice) : response(dice, methods);
  if (dice.chance(45)) text = mutate(dice, text);
  const bytes = Buffer.from(text, 'latin1');
  return { type, bytes, cuts: cuts(dice, bytes.length), methods };
}

/** A message that meets one of the parser's bounds, or is one beside it. */
function atLimit(dice: Dice): FuzzCase {
  const type = dice.chance(60) ? 'request' : 'response';
  const start = type === 'request' ? 'POST / HTTP/1.1\r\nHost: a\r\n' : 'HTTP/1.1 200 OK\r\n';
  const off = dice.below(4) - 2;
  const chunks = (text: string) => `${start}Transfer-Encoding: chunked\r\n\r\n${text}`;
  let text: string;
  switch (dice.below(9)) {
    case 0: {
      const empty = `${start}X: \r\n\r\n`.length;
      text = `${start}X: ${'x'.repeat(HEAD_BYTES + off - empty)}\r\n\r\n`;
      break;
    }
    case 1:
      text = `${start}${'X: 1\r\n'.repeat(100 + off)}\r\n`;
      break;
    case 2:
      text = chunks(`0\r\n${'X: 1\r\n'.repeat(100 + off)}\r\n`);
      break;
    case 3:
      text = chunks(`0\r\nX: ${'x'.repeat(HEAD_BYTES + off - 7)}\r\n\r\n`);
      break;
    case 4:
      text = chunks(`1;${'a'.repeat(16 * 1024 + off)}\r\nx\r\n0\r\n\r\n`);
      break;
    case 5:
      text = `${start}Connection: ${Array.from({ length: 10 + off }, (_, i) => `x${i}`).join(', ')}\r\n\r\n`;
      break;
    case 6:
      text = `${start}Content-Length: ${2n ** BigInt(dice.pick([31, 32, 53, 63, 64])) + BigInt(off)}\r\n\r\nx`;
      break;
    case 7:
      text = chunks(`${(2n ** BigInt(dice.pick([31, 32, 53, 63, 64])) + BigInt(off)).toString(16)}\r\nx`);
      break;
    default:
      text = chunks(`${'0'.repeat(14 + off)}1\r\nx\r\n${'0'.repeat(16 + off)}\r\n\r\n`);
  }
  const bytes = Buffer.from(text, 'latin1');
  // Octet by octet these would be slow.
  const places = dice.chance(50) ? [1 + dice.below(bytes.length - 1)] : [];
  return { type, bytes, cuts: places, methods: type === 'response' ? ['GET'] : [] };
}

/** The parser's bound on a head, and on trailers. */
const HEAD_BYTES = 60 * 1024;

function request(dice: Dice): string {
  const odd = dice.chance(40) ? dice.below(4) : -1;
  const method = odd === 0 ? dice.pick(ODD_METHODS) : dice.pick(METHODS);
  let target = odd === 1 ? dice.pick(ODD_TARGETS) : dice.pick(TARGETS);
  if (method === 'CONNECT' && dice.chance(80)) target = 'a:443';
  const version = odd === 2 ? dice.pick(ODD_VERSIONS) : dice.pick(VERSIONS);
  const sp = odd === 3 && dice.chance(20) ? dice.pick(['  ', '\t', '', '\x0b']) : ' ';
  const before = dice.chance(3) ? '\r\n'.repeat(1 + dice.below(12)) : '';
  const lines = dice.chance(97) ? ['Host: a'] : [];
  const needsBody = method === 'POST' || method === 'PUT' || method === 'PATCH';
  const body = addBody(dice, lines, needsBody ? 80 : 8, odd === 3);
  return `${before}${method}${sp}${target}${sp}${version}${eol(dice)}${headers(dice, lines, odd === 3)}${body}`;
}

function response(dice: Dice, methods: string[]): string {
  const odd = dice.chance(35) ? dice.below(3) : -1;
  const asked = dice.pick(['GET', 'GET', 'GET', 'GET', 'HEAD', 'POST', 'CONNECT', 'UPGRADE']);
  if (dice.chance(97)) methods.push(asked);
  let status = dice.pick(['200', '200', '200', '404', '204', '304', '500', '201']);
  let before = '';
  if (dice.chance(8))
    before = `HTTP/1.1 ${dice.pick(['100 Continue', '103 Early Hints', '102 Processing'])}\r\n${dice.pick(['', 'Link: x\r\n'])}\r\n`;
  if (asked === 'UPGRADE' && dice.chance(50)) status = '101';
  if (odd === 0) status = dice.pick(['99', '099', '000', '101', '1000', '2', '20x', '600', '999', ' 200', '-20', '']);
  const version = odd === 1 ? dice.pick(ODD_VERSIONS) : dice.pick(VERSIONS);
  const reason = dice.chance(90)
    ? ' OK'
    : dice.pick(['', ' ', '  two', ' \xe9', ' a\tb', 'OK', '\tOK', ' \x00', ' \x01', ' a\rb']);
  const lines: string[] = [];
  if (status === '101') lines.push('Connection: Upgrade', 'Upgrade: websocket');
  const body = addBody(dice, lines, 85, odd === 2);
  return `${before}${version} ${status}${reason}${eol(dice)}${headers(dice, lines, odd === 2)}${body}`;
}

/** Adds framing headers and returns a body that usually fits them. */
function addBody(dice: Dice, lines: string[], percent: number, odd: boolean): string {
  if (!dice.chance(percent)) return odd && dice.chance(20) ? 'stray' : '';
  const text = 'hello world, hello'.substring(0, dice.below(18));
  if (dice.chance(50)) {
    const off = odd && dice.chance(15) ? dice.pick([-1, 1, 5]) : 0;
    lines.push(`Content-Length: ${Math.max(0, text.length + off)}`);
    return text;
  }
  lines.push('Transfer-Encoding: chunked');
  return chunked(dice, text, odd);
}

function chunked(dice: Dice, text: string, odd: boolean): string {
  let out = '';
  let at = 0;
  const bad = () => odd && dice.chance(12);
  while (at < text.length) {
    const size = 1 + dice.below(text.length - at);
    let digits = dice.chance(50) ? size.toString(16) : size.toString(16).toUpperCase();
    if (dice.chance(4)) digits = `00${digits}`;
    if (bad()) digits = dice.pick(SIZE_FORMS) + digits;
    if (bad()) digits = dice.pick(['fffffffffffffffff', 'ffffffffffffffff', '20000000000000', '', '7fffffff', digits]);
    const extension = dice.chance(odd ? 20 : 3) ? dice.pick(EXTENSIONS) : '';
    const end = bad() ? dice.pick(EOLS) : '\r\n';
    const afterData = bad() ? dice.pick(EOLS) : '\r\n';
    out += `${digits}${extension}${end}${text.substring(at, at + size)}${afterData}`;
    at += size;
  }
  out += dice.chance(95) ? '0' : dice.pick(['00', '0;a=b', '000000000000000000', '0 ', '']);
  out += bad() ? dice.pick(EOLS) : '\r\n';
  if (dice.chance(12)) out += `${dice.pick(odd ? TRAILERS : TRAILERS.slice(0, 2))}\r\n`;
  return out + (bad() ? dice.pick(EOLS) : '\r\n');
}

function headers(dice: Dice, lines: string[], odd: boolean): string {
  const extra = dice.below(4);
  for (let i = 0; i < extra; i++) lines.splice(dice.below(lines.length + 1), 0, dice.pick(HEADERS));
  if (odd) lines.splice(dice.below(lines.length + 1), 0, dice.pick(ODD_HEADERS));
  if (odd && dice.chance(20) && lines.length > 0) lines.push(dice.pick(lines));
  if (dice.chance(1) && dice.chance(20)) for (let i = 0; i < 101; i++) lines.push('X: 1');
  let out = '';
  for (const line of lines) out += line + eol(dice);
  return out + eol(dice);
}

function eol(dice: Dice): string {
  return dice.next() % 400 === 0 ? dice.pick(EOLS) : '\r\n';
}

function mutate(dice: Dice, text: string): string {
  let out = text;
  const times = 1 + dice.below(3);
  for (let i = 0; i < times; i++) {
    const at = dice.below(out.length + 1);
    switch (dice.below(7)) {
      case 0:
        out = out.substring(0, at) + out.substring(at + 1);
        break;
      case 1:
        out = out.substring(0, at) + dice.pick(INSERTS) + out.substring(at);
        break;
      case 2:
        out = out.substring(0, at) + dice.pick(INSERTS) + out.substring(at + 1);
        break;
      case 3:
        out = out.substring(0, at) + String.fromCharCode(dice.below(256)) + out.substring(at + 1);
        break;
      case 4:
        out = dice.chance(40) ? out.substring(0, at) : out;
        break;
      case 5: {
        const end = at + 1 + dice.below(12);
        out = out.substring(0, end) + out.substring(at, end) + out.substring(end);
        break;
      }
      default: {
        const lines = out.split('\r\n');
        const a = dice.below(lines.length);
        const b = dice.below(lines.length);
        [lines[a], lines[b]] = [lines[b]!, lines[a]!];
        out = lines.join('\r\n');
      }
    }
  }
  return out;
}

function cuts(dice: Dice, length: number): number[] {
  if (length < 2 || dice.chance(40)) return [];
  if (dice.chance(5)) return Array.from({ length: length - 1 }, (_, i) => i + 1);
  const places = new Set<number>();
  for (let i = 1 + dice.below(4); i > 0; i--) places.add(1 + dice.below(length - 1));
  return [...places].sort((a, b) => a - b);
}
