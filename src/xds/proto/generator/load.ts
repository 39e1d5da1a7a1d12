import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { ISTIO } from './istio.ts';

/** What the loader found: the reflection root and the imports that no include path holds. */
export interface Loaded {
  root: protobuf.Root;
  files: number;
  missing: string[];
  /** Fields left out because their type is in no proto we have. */
  dropped: string[];
}

const deps = fileURLToPath(new URL('../../../../node_modules/@grpc/grpc-js-xds/deps/', import.meta.url));
const includes = ['envoy-api', 'xds', 'googleapis'].map((name) => path.join(deps, name));

/** Root packages: everything current (v3), and the older of the two TypedStructs. */
const roots = [/^envoy\/.*\/v3\//, /^xds\/.*v3\//, /^udpa\/type\/v1\//, /^google\/rpc\/status\.proto$/];

/** Imports that only declare options; the options themselves are read without their declarations. */
const annotations =
  /^(validate\/|(udpa|xds|envoy)\/annotations\/|google\/api\/annotations\.proto|google\/protobuf\/descriptor\.proto)/;

/** Parses the root protos and the closure of their imports. */
export function load(): Loaded {
  const root = new protobuf.Root();
  const missing: string[] = [];
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file) || annotations.test(file)) return;
    seen.add(file);
    const include = includes.find((dir) => existsSync(path.join(dir, file)));
    if (include === undefined) {
      const common = protobuf.common.get(file);
      if (common?.nested) root.addJSON(common.nested);
      else missing.push(file);
      return;
    }
    const parsed = protobuf.parse(readFileSync(path.join(include, file), 'utf8'), root, { keepCase: true });
    for (const imported of [...(parsed.imports ?? []), ...(parsed.weakImports ?? [])]) visit(imported);
  };
  for (const common of ['any', 'duration', 'empty', 'field_mask', 'struct', 'timestamp', 'wrappers']) {
    visit(`google/protobuf/${common}.proto`);
  }
  for (const file of rootFiles()) visit(file);
  root.addJSON(ISTIO.nested ?? {});
  return { root, files: seen.size, missing, dropped: dropUnresolvable(root) };
}

function dropUnresolvable(space: protobuf.NamespaceBase): string[] {
  const dropped: string[] = [];
  for (const child of space.nestedArray) {
    if (child instanceof protobuf.Type) {
      for (const field of child.fieldsArray) {
        if (field.type in protobuf.types.basic || child.lookup(field.type, [protobuf.Type, protobuf.Enum])) continue;
        dropped.push(field.fullName.slice(1));
        child.remove(field);
      }
    }
    if (child instanceof protobuf.Namespace) dropped.push(...dropUnresolvable(child));
  }
  return dropped;
}

function rootFiles(): string[] {
  const found: string[] = [];
  for (const include of includes) {
    for (const entry of readdirSync(include, { recursive: true, encoding: 'utf8' })) {
      const file = entry.replaceAll(path.sep, '/');
      if (file.endsWith('.proto') && roots.some((pattern) => pattern.test(file))) found.push(file);
    }
  }
  return found.sort();
}
