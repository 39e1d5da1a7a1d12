import { expect, test } from 'vitest';
import type { Listener } from '../../../../src/proxy/listener/listener.ts';
import { ListenerIndex } from '../../../../src/proxy/listener/listener-index.ts';

function listener(name: string, ...addresses: [string, number][]): Listener {
  const config = { addresses: addresses.map(([host, port]) => ({ host, port })) };
  return { name, config } as unknown as Listener;
}

test('the very address comes before the wildcard of its family', () => {
  const index = new ListenerIndex();
  index.update([
    listener('port', ['0.0.0.0', 80], ['::', 80]),
    listener('vip', ['10.0.0.1', 80]),
    listener('second', ['10.0.0.1', 80]),
    listener('four', ['0.0.0.0', 81]),
  ]);
  const find = (host: string, port: number): string | undefined => index.find({ host, port })?.name;
  expect(find('10.0.0.1', 80)).toBe('vip');
  expect(find('10.0.0.2', 80)).toBe('port');
  expect(find('fd00::1', 80)).toBe('port');
  expect(find('fd00::1', 81)).toBeUndefined();
  expect(find('10.0.0.1', 82)).toBeUndefined();
  index.update([]);
  expect(find('10.0.0.1', 80)).toBeUndefined();
});
