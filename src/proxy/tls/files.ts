import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';

/** A rotation writes several files, or swaps a link and cleans up: this long after the last event they are read. */
const SETTLE_MS = 100;

interface Folder {
  readonly watcher: FSWatcher | null;
  readonly callbacks: Set<() => void>;
  settling: TimerHandle | null;
}

/**
 * Tells when files may have changed. Folders are watched, since a file that is replaced by a rename, or lies behind a
 * link that is swapped as a kubelet does, is another file afterwards.
 */
export class WatchedFiles {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #folders = new Map<string, Folder>();

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Calls back after something changed in the folders of `paths`, or in `directories`, until the returned function is called. */
  watch(paths: Iterable<string>, directories: Iterable<string>, changed: () => void): () => void {
    const names = new Set(directories);
    for (const path of paths) names.add(dirname(path));
    // One of its own: who watches anew before he leaves off must not take himself away.
    const callback = (): void => changed();
    for (const name of names) this.#folder(name).callbacks.add(callback);
    return () => {
      for (const name of names) this.#leave(name, callback);
    };
  }

  close(): void {
    for (const { watcher, settling } of this.#folders.values()) {
      settling?.cancel();
      watcher?.close();
    }
    this.#folders.clear();
  }

  #folder(name: string): Folder {
    let folder = this.#folders.get(name);
    if (folder === undefined) {
      folder = { watcher: this.#open(name), callbacks: new Set(), settling: null };
      this.#folders.set(name, folder);
    }
    return folder;
  }

  #open(name: string): FSWatcher | null {
    const failed = (error: unknown): void => {
      this.#log.warn('a folder of certificates is not watched: changes in it are seen after a restart', {
        folder: name,
        error: messageOf(error),
      });
    };
    try {
      return watch(name, { persistent: false }, () => this.#onEvent(name)).on('error', failed);
    } catch (error) {
      failed(error);
      return null;
    }
  }

  #onEvent(name: string): void {
    const folder = this.#folders.get(name);
    if (folder === undefined) return;
    folder.settling?.cancel();
    folder.settling = this.#clock.after(SETTLE_MS, () => {
      folder.settling = null;
      for (const callback of [...folder.callbacks]) callback();
    });
  }

  #leave(name: string, callback: () => void): void {
    const folder = this.#folders.get(name);
    if (folder === undefined || !folder.callbacks.delete(callback) || folder.callbacks.size > 0) return;
    folder.settling?.cancel();
    folder.watcher?.close();
    this.#folders.delete(name);
  }
}
