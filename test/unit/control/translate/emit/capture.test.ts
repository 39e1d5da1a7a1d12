import { expect, test } from 'vitest';
import { captureFacts, sourcesToApp, wildcards } from '../../../../../src/control/translate/emit/capture.ts';
import { node, type ProxySpec } from '../../../../simulation/traffic.ts';

const facts = (spec: ProxySpec) => captureFacts(node(spec));

test('a sidecar says that its pod is captured, and the families that it has', () => {
  expect(facts({ capture: 'REDIRECT', ips: '10.1.0.7' })).toEqual({
    addresses: ['10.1.0.7'],
    families: '4',
    transparent: false,
    dns: false,
    allocates: false,
  });
  expect(facts({ capture: 'TPROXY', ips: 'fd00::7' })).toMatchObject({ families: '6', transparent: true });
  expect(facts({ capture: 'REDIRECT', ips: 'fd00::7,10.1.0.7' })).toMatchObject({ families: '46' });
  // Names are no addresses.
  expect(facts({ capture: 'REDIRECT', ips: 'localhost' })).toMatchObject({ addresses: [], families: '4' });
});

test('who answers DNS gives out addresses, unless it says that it does not', () => {
  const captured = { capture: 'REDIRECT', ips: '10.1.0.7' } as const;
  expect(facts({ ...captured, dns: 'allocates' })).toMatchObject({ dns: true, allocates: true });
  expect(facts({ ...captured, dns: 'given' })).toMatchObject({ dns: true, allocates: false });
  const metadata = { DNS_CAPTURE: 'false', DNS_AUTO_ALLOCATE: 'true' };
  expect(captureFacts({ ...node(captured), metadata })).toMatchObject({ dns: false, allocates: false });
  expect(captureFacts({ ...node(captured), metadata: { DNS_CAPTURE: true } })).toMatchObject({ dns: true });
});

test('who says nothing of it is called by the ports that it names', () => {
  expect(facts({})).toBeNull();
  expect(facts({ kind: 'router', capture: 'REDIRECT' })).toBeNull();
  expect(captureFacts({ ...node({}), interceptionMode: 'REDIRECT' })).toBeNull();
});

test('addresses of both families', () => {
  expect(wildcards('46')).toEqual(['0.0.0.0', '::']);
  expect(sourcesToApp('6')).toEqual(['::6']);
});
