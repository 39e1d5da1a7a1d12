import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode, messageOf } from '../../../base/errors.ts';

/** What is to be read at one moment. */
export interface Scan {
  /** Path as the user gave it (joined with what is below) → a text that changes whenever the file does. */
  readonly files: ReadonlyMap<string, FileMark>;
  /** Directories to watch: those scanned, and those that hold the files that were named. */
  readonly directories: ReadonlySet<string>;
  readonly problems: readonly { readonly path: string; readonly message: string }[];
}

export interface FileMark {
  readonly mark: string;
  readonly size: number;
}

const EXTENSIONS = ['.yaml', '.yml', '.json'];

/**
 * Finds the files below the paths. Links are followed (a ConfigMap's files are links), each file and directory once,
 * so a link to a parent ends. Hidden ones are left out, as is all that is no regular file.
 */
export async function scan(paths: readonly string[]): Promise<Scan> {
  const walk = new Walk();
  for (const path of paths) await walk.root(path);
  return walk;
}

class Walk implements Scan {
  readonly files = new Map<string, FileMark>();
  readonly directories = new Set<string>();
  readonly problems: { path: string; message: string }[] = [];
  readonly #seen = new Set<string>();

  async root(path: string): Promise<void> {
    const stats = await this.#stat(path, true);
    this.directories.add(stats?.isDirectory() === true ? path : dirname(path));
    if (stats?.isDirectory() === true) await this.#directory(path, stats);
    else if (stats !== null) this.#file(path, stats, true);
  }

  async #directory(path: string, own: Stats): Promise<void> {
    if (!this.#first(own)) return;
    this.directories.add(path);
    let names: string[];
    try {
      names = await readdir(path);
    } catch (error) {
      this.problems.push({ path, message: `cannot be listed: ${messageOf(error)}` });
      return;
    }
    const children = names
      .filter((name) => !name.startsWith('.'))
      .sort()
      .map((name) => join(path, name));
    // All at once: what waits for a disk, or for a thread of a busy machine, waits once.
    const stats = await Promise.all(children.map((child) => this.#stat(child, false)));
    for (const [i, child] of children.entries()) {
      const childStats = stats[i] ?? null;
      if (childStats?.isDirectory() === true) await this.#directory(child, childStats);
      else if (childStats !== null && EXTENSIONS.some((extension) => child.endsWith(extension)))
        this.#file(child, childStats, false);
    }
  }

  #file(path: string, stats: Stats, named: boolean): void {
    if (!stats.isFile()) {
      if (named) this.problems.push({ path, message: 'neither a file nor a directory' });
      return;
    }
    if (!this.#first(stats)) return;
    const { dev, ino, size, mtimeMs, ctimeMs } = stats;
    this.files.set(path, { mark: [dev, ino, size, mtimeMs, ctimeMs].join(':'), size });
  }

  #first({ dev, ino }: Stats): boolean {
    const id = `${dev}:${ino}`;
    if (this.#seen.has(id)) return false;
    this.#seen.add(id);
    return true;
  }

  /** A file that vanishes while we look, or a link to nowhere, is simply not there; a path that was named must be. */
  async #stat(path: string, named: boolean): Promise<Stats | null> {
    try {
      return await stat(path);
    } catch (error) {
      const gone = errorCode(error) === 'ENOENT';
      if (named || !gone) this.problems.push({ path, message: gone ? 'no such file or directory' : messageOf(error) });
      return null;
    }
  }
}
