import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

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
  readonly pid: number;
}

/** A folder for the user's own processes only. */
function stateFolder(): string {
  return join(tmpdir(), `remora-${userInfo().uid}`);
}

function stateFile(): string {
  return join(stateFolder(), 'mesh.json');
}

/** The folder where instances announce themselves: the one given, or one of this process. */
export function makeInstancesFolder(given: string | undefined): string {
  const folder = given ?? join(stateFolder(), `instances-${process.pid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  return folder;
}

/** Says that this process's mesh is the one to join; the latest wins. Returns what takes it back. */
export function publishMesh(state: MeshState): () => void {
  mkdirSync(stateFolder(), { recursive: true, mode: 0o700 });
  writeFileSync(stateFile(), `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  return () => {
    if (readMesh()?.pid === state.pid) rmSync(stateFile(), { force: true });
  };
}

/** The mesh that runs on this machine, or null when there is none (any more). */
export function readMesh(): MeshState | null {
  try {
    const state = JSON.parse(readFileSync(stateFile(), 'utf8')) as MeshState;
    process.kill(state.pid, 0);
    return state;
  } catch {
    // No file, not ours, or its process has ended: there is no mesh.
    return null;
  }
}
