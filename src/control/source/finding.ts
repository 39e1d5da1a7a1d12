import { type ConfigObject, type Finding, objectName, type Severity } from './collection.ts';
import { formatPath, type Path, type Sink } from './schema/type.ts';

/** What a message repeats of a file may be long. */
const MAX_MESSAGE = 500;

/** Cut, and without line ends or other controls: messages go to a terminal and to logs. */
export function oneLine(message: string): string {
  const short = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message;
  return short.replace(/\p{Cc}/gu, ' ');
}

/** A finding about a field of an object, with the line it is written on. */
export function findingAt(
  object: ConfigObject,
  severity: Severity,
  code: string,
  path: Path,
  message: string,
): Finding {
  return {
    severity,
    code,
    object: objectName(object),
    field: formatPath(path),
    message: oneLine(message),
    file: object.origin.where,
    line: object.origin.lineOf(path),
  };
}

/** `reviews.yaml:12` of a field, or of the whole object for an empty path. */
export function placeOf(object: ConfigObject, path: Path = []): string {
  const line = path.length === 0 ? object.origin.line : object.origin.lineOf(path);
  return line > 0 ? `${object.origin.where}:${line}` : object.origin.where;
}

/** Collects what is found out about one object. */
export class Findings implements Sink {
  readonly list: Finding[] = [];
  readonly #object: ConfigObject;
  #errors = 0;

  constructor(object: ConfigObject) {
    this.#object = object;
  }
  get failed(): boolean {
    return this.#errors > 0;
  }
  error(code: string, path: Path, message: string): void {
    this.#errors++;
    this.list.push(findingAt(this.#object, 'error', code, path, message));
  }
  warning(code: string, path: Path, message: string): void {
    this.list.push(findingAt(this.#object, 'warning', code, path, message));
  }
}
