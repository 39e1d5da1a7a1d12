import { expect, it } from 'vitest';
import { drainsJson, drainsText } from '../../../../src/proxy/admin/drains.ts';
import type { DrainView } from '../../../../src/proxy/admin/view.ts';

const remote = { host: '10.0.0.1', port: 4321 };
const VIEW: DrainView = {
  state: 'DRAINING',
  causes: ['termination', 'healthcheck/fail'],
  strategy: 'gradual',
  listeners: [
    {
      name: 'inbound',
      removed: false,
      accepting: true,
      progress: 0.25,
      leftMs: 9000,
      connections: [
        { id: 1, remote, kind: 'http', busy: false, state: 'scheduled', inMs: 2500 },
        { id: 2, remote, kind: 'http', busy: true, state: 'asked', inMs: 400 },
        { id: 3, remote, kind: 'http', busy: false, state: 'closing', inMs: null },
        { id: 4, remote, kind: 'tcp', busy: true, state: 'staying', inMs: null },
      ],
    },
    { name: 'outbound', removed: false, accepting: true, progress: null, leftMs: null, connections: [] },
    { name: 'old', removed: true, accepting: false, progress: 1, leftMs: 0, connections: [] },
  ],
};

it('is a line a listener, and a line each connection of those that drain', () => {
  expect(drainsText(VIEW)).toBe(
    `DRAINING because of termination, healthcheck/fail (gradual)
inbound: accepting, 4 connections, 25 % asked to leave, 9.0 s left
  C1 10.0.0.1:4321 http scheduled, asked in 2.5 s
  C2 10.0.0.1:4321 http busy asked, closed if quiet in 0.4 s
  C3 10.0.0.1:4321 http closing
  C4 10.0.0.1:4321 tcp busy staying
outbound: accepting, 0 connections
old: removed, not accepting, 0 connections, 100 % asked to leave, 0.0 s left
`,
  );
});

it('says nothing of causes where there are none', () => {
  expect(drainsText({ ...VIEW, state: 'LIVE', causes: [], listeners: [] })).toBe('LIVE\n');
});

it('has the same for programs', () => {
  expect(drainsJson(VIEW)).toMatchObject({
    state: 'DRAINING',
    listeners: [
      {
        name: 'inbound',
        progress: 0.25,
        left_ms: 9000,
        connections: [
          { id: 1, remote: '10.0.0.1:4321', kind: 'http', busy: false, state: 'scheduled', in_ms: 2500 },
          { state: 'asked', in_ms: 400 },
          {},
          {},
        ],
      },
      { name: 'outbound' },
      { name: 'old', removed: true },
    ],
  });
});
