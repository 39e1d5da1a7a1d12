import { promises, statSync, utimesSync } from 'node:fs';
import { readBoundedFile } from '../../base/bounded-file.ts';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { errorCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { AdsClient } from './ads.ts';
import type { HeldResource, ResourceDecoder } from './resource-decoder.ts';
import { CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE, shortName, VIRTUAL_HOST } from './type-urls.ts';

export interface LastGoodOptions {
  /** The file; its directory must exist. */
  readonly path: string;
  /** A file that was in force longer ago than this is not used; 0: any age. */
  readonly ttlMs: number;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly decoders: Iterable<ResourceDecoder>;
  /** Saves are at least this far apart; 1 s. */
  readonly everyMs?: number;
  /** A config bigger than this is not saved, a file bigger than this not read; 64 MiB. */
  readonly maxBytes?: number;
}

/** One type as an earlier process held it. */
export interface SavedType {
  readonly typeUrl: string;
  readonly version: string;
  readonly resources: readonly HeldResource[];
}

export interface LastGood {
  /** Wall time of the save. */
  readonly savedAt: number;
  /** Wall time at which it was still what the server had. */
  readonly confirmedAt: number;
  /** In the order in which to restore them: whoever names others comes first. */
  readonly types: readonly SavedType[];
}

/** Never secrets: a key belongs in memory. */
const SAVED = [CLUSTER, LISTENER, ENDPOINT, ROUTE, VIRTUAL_HOST, NAME_TABLE];
const FORMAT = 1;

interface SavedFile {
  readonly format: number;
  readonly node: string;
  readonly savedAt: number;
  readonly types: Record<string, { version: string; resources: [name: string, version: string, base64: string][] }>;
}

/** The last good config on disk, so that a proxy starts and serves while its control server is away. */
export class LastGoodFile {
  readonly #options: LastGoodOptions;
  readonly #decoders: ReadonlyMap<string, ResourceDecoder>;
  #timer: TimerHandle | null = null;
  #writing: Promise<void> = Promise.resolve();
  #savedAt = 0;

  constructor(options: LastGoodOptions) {
    this.#options = options;
    this.#decoders = new Map(Array.from(options.decoders, (decoder) => [decoder.typeUrl, decoder]));
  }

  /** Wall time of the last save by this process; 0 none. */
  get savedAt(): number {
    return this.#savedAt;
  }

  /** Saves soon what the client then holds. */
  schedule(client: AdsClient): void {
    this.#timer ??= this.#options.clock.after(this.#options.everyMs ?? 1000, () => {
      this.#timer = null;
      this.#writing = this.#writing.then(() => this.save(client));
    });
  }

  /** Saves now. A failure is logged: the file is a help, not a need. */
  async save(client: AdsClient): Promise<void> {
    const { path, clock, log, maxBytes = 64 * 1024 * 1024, nodeId } = this.#options;
    const savedAt = clock.wall();
    const file: SavedFile = { format: FORMAT, node: nodeId, savedAt, types: {} };
    for (const typeUrl of SAVED) {
      const { version, resources } = client.held(typeUrl);
      file.types[typeUrl] = {
        version,
        resources: Array.from(resources.values(), ({ name, version, any }) => [
          name,
          version,
          Buffer.from(any.value ?? new Uint8Array(0)).toString('base64'),
        ]),
      };
    }
    const text = JSON.stringify(file);
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      if (text.length > maxBytes) throw new Error(`the config is bigger than ${maxBytes} bytes`);
      await promises.writeFile(temporary, text, { mode: 0o600, flush: true });
      await promises.rename(temporary, path);
      this.#savedAt = savedAt;
    } catch (error) {
      await promises.unlink(temporary).catch(() => {});
      log.warn('last good config not saved', { path, reason: messageOf(error) });
    }
  }

  /** What was saved is in force still: the file's time says so, whatever the length of its text. */
  confirm(): void {
    const { path, clock } = this.#options;
    const seconds = clock.wall() / 1000;
    try {
      utimesSync(path, seconds, seconds);
    } catch {
      // Nothing was saved.
    }
  }

  /** Times are whole milliseconds here, and the file system's may be coarser: never later than it was. */
  #confirmedAt(): number {
    return Math.floor(Math.min(this.#options.clock.wall(), statSync(this.#options.path).mtimeMs));
  }

  /** Reads the file; null when there is none that can be used. What no longer decodes is left out. */
  load(): LastGood | null {
    const { path, clock, log, nodeId, ttlMs, maxBytes = 64 * 1024 * 1024 } = this.#options;
    try {
      const file = JSON.parse(readBoundedFile(path, maxBytes).toString()) as SavedFile;
      if (file.format !== FORMAT) throw new Error(`format ${String(file.format)} is not known`);
      if (file.node !== nodeId) throw new Error(`it is of another node, ${JSON.stringify(file.node)}`);
      const savedAt = Number(file.savedAt);
      const confirmedAt = Math.max(savedAt, this.#confirmedAt());
      const ageMs = clock.wall() - confirmedAt;
      if (ttlMs > 0 && !(ageMs <= ttlMs)) {
        throw new Error(`it was in force ${hours(ageMs)} h ago, and ${hours(ttlMs)} h is the limit`);
      }
      return { savedAt, confirmedAt, types: SAVED.map((typeUrl) => this.#read(typeUrl, file)) };
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') log.warn('last good config not used', { path, reason: messageOf(error) });
      return null;
    }
  }

  /** Waits for a save that is under way, and does the one that is due. */
  async close(client: AdsClient): Promise<void> {
    if (this.#timer !== null) {
      this.#timer.cancel();
      this.#timer = null;
      this.#writing = this.#writing.then(() => this.save(client));
    }
    await this.#writing;
  }

  #read(typeUrl: string, file: SavedFile): SavedType {
    const saved = file.types[typeUrl];
    const decoder = this.#decoders.get(typeUrl);
    const resources: HeldResource[] = [];
    for (const [name, version, base64] of decoder === undefined ? [] : (saved?.resources ?? [])) {
      const any = { type_url: typeUrl, value: new Uint8Array(Buffer.from(base64, 'base64')) };
      const decoded = decoder?.decode(any);
      if (decoded?.ok && (decoder?.unnamed || decoded.name === name))
        resources.push({ name, version, any, resource: decoded.resource });
      else this.#options.log.warn('left out of the last good config', { type: shortName(typeUrl), name });
    }
    // Without all of its resources the version is not held, and a server must not think so.
    const whole = resources.length === saved?.resources.length;
    return { typeUrl, version: whole ? saved.version : '', resources };
  }
}

function hours(ms: number): string {
  return (ms / 3_600_000).toFixed(1);
}
