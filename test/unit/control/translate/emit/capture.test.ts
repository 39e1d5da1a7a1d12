import { expect, test } from 'vitest';
import { captureFacts, sourcesToApp, wildcards } from '../../../../../src/control/translate/emit/capture.ts';
import { virtualInbound } from '../../../../../src/control/translate/emit/inbound.ts';
import { virtualOutbound } from '../../../../../src/control/translate/emit/outbound.ts';
import { node, type ProxySpec } from '../../../../simulation/traffic.ts';

const facts = (spec: ProxySpec) => captureFacts(node(spec));

test('a sidecar says that its pod is captured, and the families that it has', () => {
  expect(facts({ capture: 'REDIRECT', ips: '10.1.0.7' })).toEqual({
    addresses: ['10.1.0.7'],
    families: '4',
    transparent: false,
    dns: false,
    ports: { outbound: 15001, inbound: 15006 },
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

// pains.md row 27
test('a proxy says where its rules lead, and nonsense is not believed', () => {
  const captured = node({ capture: 'REDIRECT', ips: '10.1.0.7' });
  const told = (metadata: object) => captureFacts({ ...captured, metadata: { ...metadata } })?.ports;
  expect(told({ OUTBOUND_PORT: '16001', INBOUND_PORT: '16006' })).toEqual({ outbound: 16001, inbound: 16006 });
  expect(told({ OUTBOUND_PORT: '70000', INBOUND_PORT: 'x' })).toEqual({ outbound: 15001, inbound: 15006 });
});

test('and listens there, with no way round in circles', () => {
  const ports = { outbound: 16001, inbound: 16006 };
  const outbound = virtualOutbound('46', ports, 'ALLOW_ANY', []);
  expect(outbound.address).toEqual({ socket_address: { address: '0.0.0.0', port_value: 16001 } });
  expect(outbound.additional_addresses).toEqual([
    { address: { socket_address: { address: '::', port_value: 16001 } } },
  ]);
  expect(outbound.filter_chains?.[0]?.filter_chain_match).toEqual({ destination_port: 16001 });
  const facts = { ...captureFacts(node({ capture: 'REDIRECT', ips: '10.1.0.7' }))!, ports };
  const inbound = virtualInbound(
    facts,
    [],
    { http2: false, detects: true },
    { mode: 'DISABLE', ports: new Map(), written: '' },
  );
  expect(inbound.address).toEqual({ socket_address: { address: '0.0.0.0', port_value: 16006 } });
  expect(inbound.filter_chains?.[0]?.filter_chain_match).toEqual({ destination_port: 16006 });
});
