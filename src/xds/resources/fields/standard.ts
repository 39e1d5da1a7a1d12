import type { FieldTable } from '../field-state.ts';
import { bootstrapTables } from './bootstrap.ts';
import { clusterTables } from './cluster.ts';
import { coreTables } from './core.ts';
import { httpTables } from './http.ts';
import { listenerTables } from './listener.ts';
import { overloadTables } from './overload.ts';
import { routeTables } from './route.ts';
import { secretTables } from './secret.ts';

/** The state of every field of every message we read, in one list. */
export const standardTables: readonly FieldTable[] = [
  ...coreTables,
  ...listenerTables,
  ...httpTables,
  ...routeTables,
  ...clusterTables,
  ...secretTables,
  ...bootstrapTables,
  ...overloadTables,
];
