import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type FieldRow, fieldTable } from '../../../../../src/control/translate/istio/fields.ts';
import { type ApiField, apiFields } from '../../../../support/istio-api.ts';

const GOLDEN = join(import.meta.dirname, '../../../../golden/translate/istio-fields.txt');
/** All but the config of the mesh as a whole, which has a test of its own. */
const API = apiFields().filter(({ resource }) => resource !== 'MeshConfig');

function nameOf(row: FieldRow | ApiField): string {
  return `${row.resource} ${row.message}.${row.field}`;
}

/** Fields of step 1 that have no effect, each for a reason that stands in the table. */
const STEP_ONE_WITHOUT_EFFECT = [
  'DestinationRule ConnectionPoolSettings.HTTPSettings.http2KeepAlive',
  'DestinationRule ConnectionPoolSettings.HTTPSettings.useClientProtocol',
  'DestinationRule LoadBalancerSettings.consistentHash',
  'DestinationRule LoadBalancerSettings.localityLbSetting',
  'DestinationRule LoadBalancerSettings.warmup',
  'DestinationRule LoadBalancerSettings.warmupDurationSecs',
  'DestinationRule LoadBalancerSettings.zoneAwareLbSetting',
  'DestinationRule OutlierDetection.outlierDetectionHttpErrorCodes',
  'DestinationRule TrafficPolicy.RetryBudget.budgetInterval',
  'DestinationRule TrafficPolicy.proxyProtocol',
  'DestinationRule TrafficPolicy.tunnel',
  'Gateway Port.targetPort',
  'Gateway Server.defaultEndpoint',
  'ServiceEntry ServiceEntry.subjectAltNames',
  'ServiceEntry ServiceEntryAddress.host',
  'ServiceEntry ServiceEntryAddress.value',
  'ServiceEntry ServiceEntryStatus.addresses',
  'ServiceEntry ServiceEntryStatus.conditions',
  'ServiceEntry ServiceEntryStatus.observedGeneration',
  'ServiceEntry ServiceEntryStatus.validationMessages',
  'VirtualService HTTPFaultInjection.Abort.http2Error',
  'VirtualService HTTPFaultInjection.Delay.exponentialDelay',
  'VirtualService HTTPRetry.retryRemoteLocalities',
];

describe('the table of fields', () => {
  const table = fieldTable();

  it('is the one that was reviewed', () => {
    const text = `${table.map((row) => `${row.state.padEnd(9)} ${nameOf(row)}: ${row.type}`).join('\n')}\n`;
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(GOLDEN, text);
    expect(text).toBe(readFileSync(GOLDEN, 'utf8'));
  });

  it('gives a reason for every field without effect', () => {
    for (const row of table) expect(row.state === 'effective' || row.reason !== '', nameOf(row)).toBe(true);
  });

  it('has exactly the fields of the API, with their types', () => {
    expect(API).not.toEqual([]);
    const known = new Map(table.map((row) => [nameOf(row), row.type]));
    const api = new Map(API.map((row) => [nameOf(row), row.type]));
    expect([...api.keys()].filter((name) => !known.has(name))).toEqual([]);
    expect([...known.keys()].filter((name) => !api.has(name))).toEqual([]);
    const different = [...api].filter(
      ([name, type]) => known.get(name)?.replace(/\bany\b/, '') !== type && !/\bany\b/.test(known.get(name) ?? ''),
    );
    expect(different.map(([name, type]) => `${name}: ${type}, not ${known.get(name)}`)).toEqual([]);
  });

  it('has an effect for every field of step 1 but those that are listed here', () => {
    const states = new Map(table.map((row) => [nameOf(row), row.state]));
    const without = API.filter((row) => row.step === 1 && states.get(nameOf(row)) !== 'effective');
    expect(without.map(nameOf).sort()).toEqual(STEP_ONE_WITHOUT_EFFECT);
  });
});
