import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Clock, TimerHandle } from '../../../base/clock.ts';
import { messageOf } from '../../../base/errors.ts';
import { type Logger, silentLogger } from '../../../base/log.ts';
import {
  type ChangeScope,
  type ConfigObject,
  type ConfigSource,
  type ConfigState,
  ENDPOINT_KINDS,
  type Finding,
  objectKey,
  objectName,
} from '../collection.ts';
import { type FileMark, scan } from './scan.ts';
import { MAX_FILE_BYTES, type ReadResult, readObjects } from './yaml.ts';

export interface FileSourceOptions {
  /** Directories (read recursively) and files. */
  readonly paths: readonly string[];
  readonly clock: Clock;
  readonly logger?: Logger;
  /** How long a file must have been left alone before it is read again. */
  readonly quietMs?: number;
  /** How often all files are looked at, for file systems that tell nothing. */
  readonly pollMs?: number;
}

/** A change goes on for at most this many looks before the file is read as it is. */
const MOST_LOOKS = 40;
/** Notices of one change come in bunches. */
const BUNCH_MS = 5;

interface FileEntry {
  mark: string;
  text: string;
  findings: readonly Finding[];
  /** The objects in force. */
  objects: readonly ConfigObject[];
  /** Whether `objects` are from a version without errors. */
  whole: boolean;
}

/**
 * Objects from YAML and JSON files, kept up to date. A file that cannot be understood leaves the objects of its last
 * good version in force (all of them: a half-applied file would be a state that nobody wrote) and says so in a
 * finding. Objects that did not change are the same values as before, whatever happened around them.
 */
export class FileSource implements ConfigSource {
  #state: ConfigState = { objects: [], findings: [] };
  readonly #options: FileSourceOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #files = new Map<string, FileEntry>();
  /** Changes that were seen once; read when they look the same again. `gone` for a file that disappeared. */
  readonly #pending = new Map<string, { mark: string; looks: number }>();
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #listeners = new Set<(scope: ChangeScope) => void>();
  #quiet: TimerHandle | null = null;
  #poll: TimerHandle | null = null;
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#log = options.logger ?? silentLogger(options.clock);
  }

  get state(): ConfigState {
    return this.#state;
  }

  async start(): Promise<void> {
    await this.refresh();
    this.#armPoll();
  }

  onChange(listener: (scope: ChangeScope) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Looks at all files now and reads those that changed, without waiting until they are left alone. */
  refresh(): Promise<void> {
    return this.#enqueue(true);
  }

  /** Resolves when the look that is under way, if any, is done. */
  get idle(): Promise<void> {
    return this.#work;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#quiet?.cancel();
    this.#poll?.cancel();
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    this.#listeners.clear();
    await this.#work;
  }

  /** One look at a time. */
  #enqueue(atOnce: boolean): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.#closed) return;
      try {
        await this.#look(atOnce);
      } catch (error) {
        this.#log.error('configuration files cannot be read', { error: messageOf(error) });
      }
    });
    return this.#work;
  }

  async #look(atOnce: boolean): Promise<void> {
    const found = await scan(this.#options.paths);
    this.#watchDirectories(found.directories);
    for (const [path, file] of found.files) {
      if (this.#files.get(path)?.mark === file.mark) this.#pending.delete(path);
      else if (atOnce || this.#settled(path, file.mark)) await this.#read(path, file);
    }
    for (const path of [...this.#files.keys()]) {
      if (!found.files.has(path) && (atOnce || this.#settled(path, 'gone'))) {
        this.#files.delete(path);
        this.#pending.delete(path);
      }
    }
    for (const path of this.#pending.keys()) {
      if (!found.files.has(path) && !this.#files.has(path)) this.#pending.delete(path);
    }
    if (this.#pending.size > 0) this.#lookAgain(this.#options.quietMs ?? 50);
    this.#publish(found.problems);
  }

  /** Whether a change looks as it did one quiet time ago. */
  #settled(path: string, mark: string): boolean {
    const before = this.#pending.get(path);
    const looks = (before?.looks ?? 0) + 1;
    if (before?.mark === mark || looks > MOST_LOOKS) {
      this.#pending.delete(path);
      return true;
    }
    this.#pending.set(path, { mark, looks });
    return false;
  }

  async #read(path: string, file: FileMark): Promise<void> {
    const before = this.#files.get(path);
    this.#pending.delete(path);
    let result: ReadResult;
    let text = '';
    if (file.size > MAX_FILE_BYTES) {
      result = broken(path, 'file-too-large', `larger than ${MAX_FILE_BYTES / 1024 / 1024} MiB: split it`);
    } else {
      try {
        text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
        if (before !== undefined && before.text === text && text !== '') {
          before.mark = file.mark;
          return;
        }
        result = readObjects(text, path);
      } catch (error) {
        const message = error instanceof TypeError ? 'not UTF-8 text' : `cannot be read: ${messageOf(error)}`;
        result = broken(path, 'unreadable-file', message);
      }
    }
    this.#files.set(path, nextEntry(path, file.mark, text, result, before));
  }

  #publish(problems: readonly { readonly path: string; readonly message: string }[]): void {
    const findings: Finding[] = problems.map(({ path, message }) =>
      fileFinding(path, 'error', 'unreadable-file', message),
    );
    const objects = new Map<string, ConfigObject>();
    for (const path of [...this.#files.keys()].sort()) {
      const entry = this.#files.get(path);
      findings.push(...(entry?.findings ?? []));
      for (const object of entry?.objects ?? []) {
        const key = objectKey(object);
        const other = objects.get(key);
        if (other === undefined) objects.set(key, object);
        else findings.push(duplicate(object, other));
      }
    }
    const before = this.#state;
    const scope = changeScope(before, [...objects.values()], findings);
    if (scope === null) return;
    this.#state = { objects: [...objects.values()], findings };
    for (const listener of this.#listeners) listener(scope);
  }

  #watchDirectories(directories: ReadonlySet<string>): void {
    for (const [path, watcher] of this.#watchers) {
      if (directories.has(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    for (const path of directories) {
      if (this.#watchers.has(path) || this.#closed) continue;
      try {
        const watcher = watch(path, { persistent: false }, () => this.#lookAgain(BUNCH_MS));
        // Without it the poll still sees changes; a directory that was replaced is watched anew after the next look.
        watcher.on('error', () => {
          watcher.close();
          this.#watchers.delete(path);
        });
        this.#watchers.set(path, watcher);
      } catch (error) {
        this.#log.debug('directory cannot be watched, it is polled', { path, error: messageOf(error) });
      }
    }
  }

  #lookAgain(ms: number): void {
    if (this.#closed || this.#quiet !== null) return;
    this.#quiet = this.#clock.after(ms, () => {
      this.#quiet = null;
      void this.#enqueue(false);
    });
  }

  #armPoll(): void {
    if (this.#closed) return;
    this.#poll = this.#clock.after(this.#options.pollMs ?? 2000, () => {
      void this.#enqueue(false).then(() => this.#armPoll());
    });
  }
}

function nextEntry(
  path: string,
  mark: string,
  text: string,
  result: ReadResult,
  before: FileEntry | undefined,
): FileEntry {
  const good = result.findings.length === 0;
  const objects = reuse(result.objects, before?.objects ?? []);
  if (good || before?.whole !== true) return { mark, text, findings: result.findings, objects, whole: good };
  const count = before.objects.length;
  const kept = `the last good version stays in force (${count} object${count === 1 ? '' : 's'})`;
  const findings = [...result.findings, fileFinding(path, 'warning', 'last-good-in-force', kept)];
  return { mark, text, findings, objects: before.objects, whole: true };
}

/** The same objects as before where nothing about them changed. */
function reuse(objects: readonly ConfigObject[], before: readonly ConfigObject[]): readonly ConfigObject[] {
  const known = new Map(before.map((object) => [`${objectKey(object)}|${object.resourceVersion}`, object]));
  return objects.map((object) => known.get(`${objectKey(object)}|${object.resourceVersion}`) ?? object);
}

function fileFinding(file: string, severity: Finding['severity'], code: string, message: string): Finding {
  return { severity, code, object: '', field: '', message, file, line: 0 };
}

function broken(path: string, code: string, message: string): ReadResult {
  return { objects: [], findings: [fileFinding(path, 'error', code, message)] };
}

function duplicate(object: ConfigObject, other: ConfigObject): Finding {
  const { where, line } = object.origin;
  const message = `is in ${other.origin.where}:${other.origin.line} already, which counts; this one in ${where}:${line} has no effect: remove one of them`;
  return {
    severity: 'error',
    code: 'duplicate-object',
    object: objectName(object),
    field: '',
    message,
    file: where,
    line,
  };
}

/** null: nothing changed. */
function changeScope(
  before: ConfigState,
  objects: readonly ConfigObject[],
  findings: readonly Finding[],
): ChangeScope | null {
  const old = new Set(before.objects);
  const now = new Set(objects);
  const changed = [
    ...objects.filter((object) => !old.has(object)),
    ...before.objects.filter((object) => !now.has(object)),
  ];
  if (JSON.stringify(before.findings) !== JSON.stringify(findings)) return 'config';
  if (changed.length === 0) return null;
  return changed.every((object) => ENDPOINT_KINDS.has(object.kind)) ? 'endpoints' : 'config';
}
