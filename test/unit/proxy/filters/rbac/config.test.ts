import { describe, expect, it } from 'vitest';
import { decodeRbac } from '../../../../../src/proxy/filters/rbac/config.ts';
import { fromJson, Problems } from '../../../../../src/xds/proto/codec.ts';
import { resolve } from '../../../../../src/xds/proto/descriptor.ts';
import { RBAC } from '../../../../../src/xds/proto/gen/envoy/extensions/filters/http/rbac/v3.ts';

const ANY = { any: true };
type Json = Record<string, unknown>;

function decode(json: Json) {
  const problems = new Problems();
  const warnings = new Problems();
  const wire = fromJson(RBAC, json, problems);
  const config = decodeRbac(wire, problems, warnings, 'c');
  const text = ({ list }: Problems): string[] => list.map(({ path, reason }) => `${path}: ${reason}`);
  return { config, problems: text(problems), warnings: text(warnings) };
}
const policy = (fields: Json): Json => ({
  rules: { policies: { p: { permissions: [ANY], principals: [ANY], ...fields } } },
});

/** What becomes of every field below the filter's own message; one that is new to the protos fails the test. */
const FIELDS: Record<string, Record<string, 'effective' | 'reported' | 'refused'>> = {
  RBAC: { action: 'effective', policies: 'effective', audit_logging_options: 'reported' },
  Policy: { permissions: 'effective', principals: 'effective', condition: 'refused', checked_condition: 'refused' },
  Permission: {
    and_rules: 'effective',
    or_rules: 'effective',
    any: 'effective',
    header: 'effective',
    url_path: 'effective',
    destination_ip: 'effective',
    destination_port: 'effective',
    destination_port_range: 'effective',
    metadata: 'refused',
    not_rule: 'effective',
    requested_server_name: 'effective',
    matcher: 'refused',
    uri_template: 'refused',
  },
  Principal: {
    and_ids: 'effective',
    or_ids: 'effective',
    any: 'effective',
    authenticated: 'effective',
    source_ip: 'effective',
    direct_remote_ip: 'effective',
    remote_ip: 'effective',
    header: 'effective',
    url_path: 'effective',
    metadata: 'refused',
    filter_state: 'refused',
    not_id: 'effective',
  },
  'Principal.Authenticated': { principal_name: 'effective' },
};

describe('an RBAC config', () => {
  it.each(Object.keys(FIELDS))('knows every field of %s', (name) => {
    const fields = resolve(`envoy.config.rbac.v3.${name}`)!.message!.fields.map((field) => field.name);
    expect(Object.keys(FIELDS[name]!).sort()).toEqual(fields.sort());
  });

  const extension = { name: 'x', typed_config: { '@type': 'type.googleapis.com/google.protobuf.Struct', value: {} } };
  const key = { filter: 'x', path: [{ key: 'a' }], value: { present_match: true } };
  it.each([
    ['metadata of a permission', policy({ permissions: [{ metadata: key }] }), 'permissions[0].metadata'],
    ['a matcher', policy({ permissions: [{ matcher: extension }] }), 'permissions[0].matcher'],
    ['a template', policy({ permissions: [{ uri_template: extension }] }), 'permissions[0].uri_template'],
    ['metadata of a principal', policy({ principals: [{ metadata: key }] }), 'principals[0].metadata'],
    [
      'filter state',
      policy({ principals: [{ filter_state: { key: 'k', string_match: { exact: 'a' } } }] }),
      'principals[0].filter_state',
    ],
    [
      'metadata below others',
      policy({ permissions: [ANY, { not_rule: { or_rules: { rules: [{ metadata: key }] } } }] }),
      'permissions[1].not_rule.or_rules.rules[0].metadata',
    ],
    ['CEL', policy({ condition: {} }), 'condition'],
    ['checked CEL', policy({ checked_condition: {} }), 'checked_condition'],
  ])('refuses %s, with the remedy', (_, json, field) => {
    const { problems } = decode(json);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/: refused: .+/);
    expect(problems[0]!.split(': ')[0]).toBe(`c.rules.policies["p"].${field}`);
  });

  it('refuses matcher trees', () => {
    const { problems } = decode({ matcher: {}, shadow_matcher: {} });
    expect(problems.map((problem) => problem.split(': ')[0])).toEqual(['c.matcher', 'c.shadow_matcher']);
  });

  it.each([
    ['a range that is no address', { source_ip: { address_prefix: 'here' } }, 'source_ip.address_prefix'],
    ['a prefix too long', { remote_ip: { address_prefix: '10.0.0.0', prefix_len: 33 } }, 'remote_ip.prefix_len'],
    [
      'a regex that RE2 refuses',
      { url_path: { path: { safe_regex: { regex: '(' } } } },
      'url_path.path.safe_regex.regex',
    ],
    [
      'a header by a wrong regex',
      { header: { name: 'a', safe_regex_match: { regex: '(' } } },
      'header.safe_regex_match.regex',
    ],
    [
      'a principal by a wrong regex',
      { authenticated: { principal_name: { safe_regex: { regex: '(' } } } },
      'authenticated.principal_name.safe_regex.regex',
    ],
  ])('says where %s is', (_, principal, field) => {
    expect(decode(policy({ principals: [principal] })).problems[0]).toContain(
      `c.rules.policies["p"].principals[0].${field}: `,
    );
  });

  it.each([
    { start: 80, end: 80 },
    { start: -1, end: 80 },
    { start: 1, end: 65_537 },
  ])('refuses the ports $start to $end', (range) => {
    expect(decode(policy({ permissions: [{ destination_port_range: range }] })).problems).toHaveLength(1);
  });

  it('takes every port there is', () => {
    expect(decode(policy({ permissions: [{ destination_port_range: { start: 0, end: 65_536 } }] })).problems).toEqual(
      [],
    );
  });

  it('reports audit loggers', () => {
    const { problems, warnings } = decode({ rules: { audit_logging_options: {} } });
    expect([problems, warnings.length]).toEqual([[], 1]);
  });
});
