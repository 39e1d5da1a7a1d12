import { readdirSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { GoldenFile, run } from './golden.ts';

const FOLDER = new URL('../../../golden/xds/', import.meta.url);
const update = process.env.UPDATE_GOLDEN === '1';

/** A file of the folder that is not listed here is a golden that nobody uses. */
const FILES = [
  'access-log.md',
  'bootstrap.md',
  'cluster.md',
  'endpoints.md',
  'http-connection-manager.md',
  'listener.md',
  'route.md',
];

test('every golden file is used', () => {
  expect(readdirSync(FOLDER).sort()).toEqual(FILES);
});

describe.each(FILES)('%s', (name) => {
  const file = new GoldenFile(new URL(name, FOLDER).pathname);
  const outputs: string[] = [];

  test('has no two cases of one title', () => {
    expect(new Set(file.cases.map((one) => one.title)).size).toBe(file.cases.length);
  });

  test.each(file.cases.map((one) => [one.title, one] as const))('%s', (_, one) => {
    const output = run(one);
    outputs.push(output);
    if (!update) expect(output).toBe(one.output);
  });

  afterAll(() => {
    if (update && outputs.length === file.cases.length) file.rewrite(outputs);
  });
});
