/**
 * Writes gen/: the message types and the tables of xDS v3, from the protos that the dev dependency
 * @grpc/grpc-js-xds carries. Run as `node src/xds/proto/generate.ts`, at install time.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { emitTables } from './generator/emit-table.ts';
import { emitTypes } from './generator/emit-types.ts';
import { load } from './generator/load.ts';
import { readSchema } from './generator/schema.ts';

const gen = fileURLToPath(new URL('./gen/', import.meta.url));

const { root, files, missing, dropped } = load();
const schema = readSchema(root);
const outputs = emitTypes(schema).set('tables.ts', emitTables(schema));

rmSync(gen, { recursive: true, force: true });
for (const [file, text] of outputs) {
  const target = path.join(gen, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
}

const count = (of: 'messages' | 'enums'): number => schema.packages.reduce((sum, pkg) => sum + pkg[of].length, 0);
console.log(
  `${files} protos → ${schema.packages.length} packages, ${count('messages')} messages, ${count('enums')} enums in ${path.relative(process.cwd(), gen)}`,
);
if (missing.length > 0) console.log(`not found: ${missing.join(', ')}`);
if (dropped.length > 0) console.log(`fields left out for want of their type: ${dropped.join(', ')}`);
