/** Runs one case through our parser and llhttp and says how they compare. */
import { isForbiddenTrailer } from '../../../src/protocol/http1/framing.ts';
import type { FuzzCase } from './generate.ts';
import { type LlhttpMessage, LlhttpPeer } from './llhttp.ts';
import { type OurMessage, Recorder } from './ours.ts';
import { namesBody, OURS_STRICTER, THEIRS_STRICTER } from './rules.ts';

export interface Outcome {
  kind: 'both accept' | 'both refuse' | 'ours stricter' | 'theirs stricter, explained' | 'FAIL';
  /** The rule that explains it, or what is wrong. */
  why: string;
}

export interface Observation {
  ours: Recorder;
  theirs: LlhttpPeer;
}

export function observe(test: FuzzCase): Observation {
  const ours = new Recorder(test.type, test.methods);
  const theirs = new LlhttpPeer(test.type, true, test.methods);
  let from = 0;
  for (let i = 0; i <= test.cuts.length; i++) {
    const to = test.cuts[i] ?? test.bytes.length;
    // Each parser gets bytes of its own: neither may lean on what lies behind its piece.
    const piece = Buffer.from(test.bytes.subarray(from, to));
    ours.parser.execute(piece);
    theirs.execute(piece);
    from = to;
  }
  ours.parser.finish();
  theirs.finish();
  theirs.close();
  return { ours, theirs };
}

export function compare(test: FuzzCase): Outcome {
  const { ours, theirs } = observe(test);
  if (test.cuts.length > 0) {
    const difference = splitDiffers(test, ours);
    if (difference !== '') return { kind: 'FAIL', why: `split and whole differ: ${difference}` };
  }
  return judge(test, ours, theirs);
}

/** Our parser must not care where the bytes are split. */
function splitDiffers(test: FuzzCase, split: Recorder): string {
  const whole = new Recorder(test.type, test.methods);
  whole.parser.execute(test.bytes);
  whole.parser.finish();
  // The code may differ: a piece can end before the octet that is wrong.
  if ((whole.error === null) !== (split.error === null)) return `${whole.error?.code} / ${split.error?.code}`;
  if (whole.tunnelled !== split.tunnelled) return 'tunnel';
  return JSON.stringify(whole.messages) === JSON.stringify(split.messages) ? '' : 'messages';
}

function judge(test: FuzzCase, ours: Recorder, theirs: LlhttpPeer): Outcome {
  const shared = Math.min(ours.messages.length, theirs.messages.length);
  let answered = 0;
  for (let i = 0; i < shared; i++) {
    const asked = test.methods[answered] ?? '';
    if (ours.messages[i]!.start >= '200') answered++;
    const difference = differs(ours.messages[i]!, theirs.messages[i]!, test.type, asked);
    if (difference !== '') return { kind: 'FAIL', why: `message ${i + 1}: ${difference}` };
  }
  const more = ours.messages.length - theirs.messages.length;
  if (more > 0 || (ours.error === null && theirs.error !== '')) {
    const rule = THEIRS_STRICTER.find((r) => r.explains(test, ours, theirs));
    if (rule !== undefined) return { kind: 'theirs stricter, explained', why: rule.name };
    return { kind: 'FAIL', why: `llhttp refuses and we do not: ${theirs.error}` };
  }
  if (ours.error !== null) {
    const { error } = ours;
    if (theirs.error !== '') return { kind: 'both refuse', why: error.code };
    const offending = theirs.messages[ours.messages.filter((m) => m.complete).length];
    const rule = OURS_STRICTER.find((r) => r.explains(error, test, offending, theirs));
    if (rule !== undefined) return { kind: 'ours stricter', why: rule.name };
    return { kind: 'FAIL', why: `we refuse without a rule: ${error.code}: ${error.reason}` };
  }
  if (more < 0) {
    const last = ours.messages.at(-1);
    if (last !== undefined && namesBody(last)) {
      return {
        kind: 'ours stricter',
        why: 'a 204 that names a body is the last message of its connection (RFC 9112 section 6.3: it has none, but may come)',
      };
    }
    if (last?.keepAlive === false) {
      return {
        kind: 'ours stricter',
        why: 'Proxy-Connection: close, and close beside keep-alive, end the connection (RFC 9112 section 9.3: close wins)',
      };
    }
    return { kind: 'FAIL', why: `we delivered ${ours.messages.length} messages, llhttp ${theirs.messages.length}` };
  }
  for (let i = 0; i < shared; i++) {
    const tunnel = ours.messages[i]!.upgrade || theirs.messages[i]!.upgrade;
    if (!tunnel && ours.messages[i]!.complete !== theirs.messages[i]!.complete) {
      return { kind: 'FAIL', why: `message ${i + 1} is whole to one only` };
    }
  }
  return { kind: 'both accept', why: '' };
}

/** What two views of one message disagree about; '' when nothing. A body may be cut short by a refusal of either. */
function differs(ours: OurMessage, theirs: LlhttpMessage, type: FuzzCase['type'], asked: string): string {
  if (ours.start !== theirs.start) return `start ${ours.start} / ${theirs.start}`;
  if (ours.minorVersion !== theirs.minorVersion) return 'version';
  // The target's authority replaces Host, so ours may lack it.
  const replaced = ours.absoluteForm || (type === 'request' && ours.start.startsWith('CONNECT '));
  const theirHeaders = replaced ? withoutHost(theirs.headers) : theirs.headers;
  const ourHeaders = replaced ? withoutHost(ours.headers) : ours.headers;
  if (!equal(ourHeaders, theirHeaders))
    return `headers ${JSON.stringify(ourHeaders)} / ${JSON.stringify(theirHeaders)}`;
  if (ours.complete && theirs.complete) {
    if (ours.body !== theirs.body) return `body ${ours.body} / ${theirs.body}`;
    const kept = theirs.trailers.filter((_, i) => !isForbiddenTrailer(theirs.trailers[i & ~1]!.toLowerCase()));
    if (!equal(ours.trailers, kept)) return `trailers ${JSON.stringify(ours.trailers)} / ${JSON.stringify(kept)}`;
  } else if (!ours.body.startsWith(theirs.body) && !theirs.body.startsWith(ours.body)) {
    return `body so far ${ours.body} / ${theirs.body}`;
  }
  const persistenceKnown = type === 'request' || (asked !== 'HEAD' && asked !== 'CONNECT' && ours.start >= '200');
  if (persistenceKnown && ours.keepAlive && !theirs.keepAlive) return 'we keep the connection and llhttp does not';
  return '';
}

function withoutHost(lines: string[]): string[] {
  return lines.filter((_, i) => lines[i & ~1]!.toLowerCase() !== 'host');
}

function equal(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
