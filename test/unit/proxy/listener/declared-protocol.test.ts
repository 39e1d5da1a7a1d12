import { expect, test } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { SharedCounts } from '../../../../src/base/shared-counts.ts';
import type { Listener } from '../../../../src/model/listener.ts';
import { DeclaredProtocols } from '../../../../src/proxy/listener/declared-protocol.ts';
import type { ConnectionFacts } from '../../../../src/proxy/listener/listener-filters.ts';
import { manualClock } from '../../../support/clock.ts';

const AUTO = { name: 'l', protocolDetection: 'auto' } as Listener;
const FACTS = { local: { host: '10.1.0.8', port: 3306 } } as ConnectionFacts;
const http = (by: string) => ({ protocol: 'http', by, holdsClients: false }) as const;

// pains.md row 23
test('an object is named once, however many threads see it', () => {
  const lines: string[] = [];
  const log = new LogRoot(manualClock(), (line) => lines.push(line), 'info').logger();
  const memory = SharedCounts.allocate();
  let counted = 0;
  const threads = [0, 1].map(
    (member) => new DeclaredProtocols(log, new SharedCounts(memory, member, 2), () => counted++),
  );
  for (let i = 0; i < 3; i++)
    for (const thread of threads)
      for (const by of ['Service a/db port 1', 'Service b/db port 2']) thread.compare('tcp', http(by), AUTO, FACTS);
  expect(counted).toBe(12);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain('Service a/db port 1: declared http, but a connection to 10.1.0.8:3306 is tcp');
  threads[0]!.compare('http', http('Service c/db port 3'), AUTO, FACTS);
  threads[0]!.compare('tcp', null, AUTO, FACTS);
  expect(counted).toBe(12);
});
