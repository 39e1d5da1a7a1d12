import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { readBootstrap } from '../../../../src/xds/bootstrap/bootstrap.ts';
import { describeProblems } from '../../../../src/xds/bootstrap/document.ts';
import { testContext } from '../resources/support.ts';

const EXAMPLES = new URL('../../../../config/proxy/', import.meta.url);
const examples = readdirSync(EXAMPLES).map((name) => [name, readFileSync(new URL(name, EXAMPLES), 'utf8')] as const);

describe('examples', () => {
  test.each(examples)('%s begins with a comment that says what it shows', (_, text) => {
    expect(text).toMatch(/^# [A-Z].*\n#/);
  });

  test.each(examples)('%s is read without a warning', (name, text) => {
    const result = readBootstrap(text, testContext());
    expect(describeProblems(name, result.ok ? result.warnings : result.problems)).toEqual([]);
    expect(result.ok && result.bootstrap.listeners).toHaveLength(name === 'original-dst.yaml' ? 2 : 1);
    expect(result.ok && result.bootstrap.admin).not.toBeNull();
  });

  test.each(examples)('%s reads the same as JSON', (_, text) => {
    const context = testContext();
    const yaml = readBootstrap(text, context);
    const json = readBootstrap(JSON.stringify(parse(text)), context);
    expect(json.ok && json.bootstrap).toEqual(yaml.ok && yaml.bootstrap);
  });
});

test('google_grpc is an address by itself', () => {
  const text = `
dynamic_resources:
  ads_config:
    api_type: GRPC
    grpc_services: [{ google_grpc: { target_uri: "dns:///control:15010", stat_prefix: xds } }]
`;
  expect(readBootstrap(text, testContext())).toMatchObject({
    ok: true,
    bootstrap: { ads: { delta: false, target: { kind: 'uri', uri: 'dns:///control:15010' } } },
  });
});

test('with clusters by discovery a route may name one that is still to come', () => {
  const [, text = ''] = examples.find(([name]) => name === 'front-proxy.yaml') ?? [];
  const dynamic = `
dynamic_resources:
  cds_config: { path_config_source: { path: /tmp/cds.yaml } }
`;
  const renamed = text.replace('- name: web\n', '- name: web2\n');
  expect(readBootstrap(renamed, testContext()).ok).toBe(false);
  expect(readBootstrap(renamed + dynamic, testContext()).ok).toBe(true);
});
