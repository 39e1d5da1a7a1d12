import type { LookupAddress } from 'node:dns';
import { EventEmitter } from 'node:events';
import type { Socket, TcpNetConnectOpts } from 'node:net';
import { expect, test } from 'vitest';
import { HappyEyeballs } from '../../../../src/proxy/upstream/happy-eyeballs.ts';

const SIX = { host: 'fd00::1', port: 80 };
const FOUR = { host: '10.0.0.1', port: 80 };

function order(eyeballs: HappyEyeballs): readonly string[] {
  let found: readonly LookupAddress[] = [];
  const { lookup } = eyeballs.options as TcpNetConnectOpts;
  lookup?.('', {}, (_error, addresses) => {
    found = addresses as LookupAddress[];
  });
  return found.map(({ address }) => address);
}

/** A connection as far as it is looked at. */
function connection(remoteFamily: 'IPv4' | 'IPv6'): Socket {
  return Object.assign(new EventEmitter(), { remoteFamily }) as unknown as Socket;
}

test('the family that answered is tried first', () => {
  const eyeballs = new HappyEyeballs([SIX, FOUR]);
  expect(order(eyeballs)).toEqual(['fd00::1', '10.0.0.1']);
  const first = connection('IPv4');
  eyeballs.follow(first);
  first.emit('connect');
  expect(order(eyeballs)).toEqual(['10.0.0.1', 'fd00::1']);
  first.emit('close');
  expect(order(eyeballs)).toEqual(['10.0.0.1', 'fd00::1']);
});

test('after a failure the next one is tried first', () => {
  const eyeballs = new HappyEyeballs([SIX, FOUR]);
  const first = connection('IPv6');
  eyeballs.follow(first);
  first.emit('close');
  expect(order(eyeballs)).toEqual(['10.0.0.1', 'fd00::1']);
});

test('a source address has the address of its family', () => {
  const eyeballs = new HappyEyeballs([SIX, FOUR]);
  expect([eyeballs.of(true), eyeballs.of(false)]).toEqual(['fd00::1', '10.0.0.1']);
  expect(new HappyEyeballs([FOUR]).of(true)).toBe('10.0.0.1');
});
