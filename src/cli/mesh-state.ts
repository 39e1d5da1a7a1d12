import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { isAlive } from './process.ts';

/**
 * How programs on one laptop find the mesh: a file that `remora control` writes while it runs on files, and
 * that `remora run`, `explain` and `status` read.
 */
export interface MeshState {
  /** `host:port` of the control server's xDS port. */
  readonly xds: string;
  /** `host:port` of its HTTP port. */
  readonly http: string;
  /** Folders of YAML it watches. */
  readonly files: readonly string[];
  /** Folder where a running instance announces itself (Pod and EndpointSlice). */
  readonly instances: string;
  /** File of the token that its CA takes from processes of this user; absent: it has no CA. */
  readonly caToken?: string;
  readonly pid: number;
}

/** A folder for the user's own processes only. */
export function stateFolder(): string {
  return join(tmpdir(), `remora-${userInfo().uid}`);
}

const STATE_FILE = /^mesh-(\d+)\.json$/;
const INSTANCES = /^instances-(\d+)$/;

/** The folder where instances announce themselves: the one given, or one of this process. */
export function makeInstancesFolder(given: string | undefined): string {
  const folder = given ?? join(stateFolder(), `instances-${process.pid}`);
  sweep();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  return folder;
}

/** Says that this process's mesh can be joined; of several the latest is. Returns what takes it back. */
export function publishMesh(state: MeshState): () => void {
  mkdirSync(stateFolder(), { recursive: true, mode: 0o700 });
  const file = join(stateFolder(), `mesh-${state.pid}.json`);
  writeFileSync(file, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  return () => rmSync(file, { force: true });
}

/** The mesh that runs on this machine, or null when there is none (any more). */
export function readMesh(): MeshState | null {
  const files = entries()
    .filter((name) => isAlive(Number(STATE_FILE.exec(name)?.[1] ?? 0)))
    .map((name) => join(stateFolder(), name))
    .sort((a, b) => modified(b) - modified(a));
  const [latest] = files;
  return latest === undefined ? null : (JSON.parse(readFileSync(latest, 'utf8')) as MeshState);
}

/** Removes what processes left behind that were killed. */
function sweep(): void {
  for (const name of entries()) {
    const pid = (STATE_FILE.exec(name) ?? INSTANCES.exec(name))?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(stateFolder(), name), { recursive: true, force: true });
  }
}

function entries(): string[] {
  return existsSync(stateFolder()) ? readdirSync(stateFolder()) : [];
}

/** 0 for a file that has just been taken back. */
function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
