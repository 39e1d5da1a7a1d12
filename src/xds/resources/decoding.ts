import { compileRegex, type Regex } from '../../base/regex.ts';
import type { SecretReference } from '../../model/tls.ts';
import { type Any, type MessageType, Problems, unpackAny } from '../proto/codec.ts';
import type { DecodeContext } from './context.ts';
import { checkFields } from './fields.ts';

/** A cluster that some route or TCP proxy names, and where. */
export interface ClusterReference {
  readonly name: string;
  readonly path: string;
  /** The resource asks to be refused when the cluster is not there (`validate_clusters`). */
  readonly required: boolean;
}

/** A secret that a TLS context names, and where. */
export interface NamedSecret extends SecretReference {
  readonly path: string;
}

/** One resource's decoding: what is wrong, what is without effect, and what else the resource names. */
export class Decoding {
  readonly context: DecodeContext;
  readonly problems: Problems;
  readonly warnings = new Problems();
  readonly clusters: ClusterReference[] = [];
  /** Names of route configurations to be asked for, each with where it stands. */
  readonly routes = new Map<string, string>();
  /** EDS service names, each with where it stands. */
  readonly endpoints = new Map<string, string>();
  readonly secrets: NamedSecret[] = [];

  constructor(context: DecodeContext, problems = new Problems()) {
    this.context = context;
    this.problems = problems;
  }

  error(path: string, reason: string): void {
    this.problems.add(path, reason);
  }

  /** Something that is accepted and does nothing; `why` is the rest of the sentence. */
  noEffect(path: string, why: string): void {
    this.warnings.add(path, `accepted, no effect in this version: ${why}`);
  }

  /** Holds a message and all it contains, up to each Any, against the field tables. */
  check(type: MessageType<unknown>, message: object, path: string): void {
    checkFields(type.typeName, message, path, this.problems, this.warnings);
  }

  /** Opens an Any of whatever type it is; its fields are still to be checked. */
  open(any: Any, path: string): { typeName: string; message: object } | undefined {
    const before = this.problems.list.length;
    const found = unpackAny(any, this.problems, path);
    // A message with faults is not to be used, nor one of which they could no longer be noted.
    if (found === undefined || this.problems.list.length > before || this.problems.full) return undefined;
    return { typeName: found.typeName, message: (found.message ?? {}) as object };
  }

  /** Opens an Any of the given type, with its fields checked; anything else is a problem. */
  openAs<T>(type: MessageType<T>, any: Any, path: string): T | undefined {
    const found = this.open(any, path);
    if (found === undefined) return undefined;
    if (found.typeName !== type.typeName) {
      this.error(path, `is a ${found.typeName}, not a ${type.typeName}`);
      return undefined;
    }
    this.check(type, found.message, path);
    return found.message as T;
  }

  /** Compiles a regex only to see that it can be; null when it cannot. */
  regex(pattern: string, path: string): Regex | null {
    const compiled = compileRegex(pattern);
    if (compiled.ok !== undefined) return compiled.ok;
    this.error(path, `not a valid RE2 expression: ${compiled.error}`);
    return null;
  }

  format(text: string, path: string): string {
    const wrong = this.context.checkFormat(text);
    if (wrong !== null) this.error(path, wrong);
    else for (const warning of this.context.formatWarnings(text)) this.noEffect(path, warning);
    return text;
  }
}
