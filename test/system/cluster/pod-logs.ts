import { linkSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { STATE } from './cluster.ts';

const LOGS = join(STATE, 'logs');
const KEPT = join(STATE, 'kept-logs');
/** A container that lives for less than this may leave nothing. */
const ROUND_MS = 500;

/** What containers said, also of pods that are gone: kubelet takes their files away, a second link keeps them. */
export class PodLogs {
  readonly #since = new Date().toISOString();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    mkdirSync(KEPT, { recursive: true });
    this.#timer = setInterval(() => this.#keep(), ROUND_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#keep();
  }

  /** Lines since this was made that `matches`, in the order of their times, each with its pod and container. */
  lines(matches: RegExp): readonly string[] {
    const found: string[] = [];
    for (const name of readdirSync(KEPT)) {
      const container = name.split('_').slice(1, -1).join(' ');
      for (const line of readFileSync(join(KEPT, name), 'utf8').split('\n')) {
        // `2026-11-21T16:42:20.840730202Z stdout F text`
        const [time = '', , , ...text] = line.split(' ');
        const said = text.join(' ');
        if (time >= this.#since && matches.test(said))
          found.push(`${time.slice(11, 23)} ${container}: ${said.slice(0, 400)}`);
      }
    }
    return found.sort();
  }

  #keep(): void {
    for (const path of readdirSync(LOGS, { recursive: true, encoding: 'utf8' })) {
      if (!path.endsWith('.log')) continue;
      // `default_web-1_UID/remora-proxy/0.log` → `default_web-1_remora-proxy_0.log`, each restart a file.
      const [pod, container, file] = path.split('/');
      try {
        linkSync(join(LOGS, path), join(KEPT, `${pod!.replace(/_[^_]*$/, '')}_${container}_${file}`));
      } catch {
        // It is kept already, or went as we looked.
      }
    }
  }
}
