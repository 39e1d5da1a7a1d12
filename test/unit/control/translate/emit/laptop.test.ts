import { describe, expect, it } from 'vitest';
import { laptopFacts } from '../../../../../src/control/translate/emit/laptop.ts';

describe('laptopFacts', () => {
  it('is nothing for a proxy that says nothing', () => {
    expect(laptopFacts(undefined)).toEqual({
      facts: { inbound: [], httpProxy: null, portMap: new Map(), bind: '', allGateways: false },
      problems: [],
    });
    expect(laptopFacts({ NAMESPACE: 'default' }).problems).toEqual([]);
  });

  it('reads everything', () => {
    const REMORA = {
      inbound: [
        { port: 9080, bind: '127.0.0.1:31001', app: '[::1]:41001', service: 'Reviews.default.svc.cluster.local' },
      ],
      httpProxy: '127.0.0.1:15001',
      portMap: { 80: 8080 },
      bind: '127.0.0.1',
      allGateways: true,
    };
    expect(laptopFacts({ REMORA })).toEqual({
      facts: {
        inbound: [
          {
            port: 9080,
            bind: { address: '127.0.0.1', port: 31001 },
            app: { address: '::1', port: 41001 },
            service: 'reviews.default.svc.cluster.local',
          },
        ],
        httpProxy: { address: '127.0.0.1', port: 15001 },
        portMap: new Map([[80, 8080]]),
        bind: '127.0.0.1',
        allGateways: true,
      },
      problems: [],
    });
  });

  it.each([
    ['not an object', 'x', ['REMORA: expected an object']],
    ['an unknown field', { httpProxi: 'a:1' }, ['REMORA.httpProxi: unknown field']],
    [
      'a port that is none',
      { httpProxy: '127.0.0.1:65536' },
      ['REMORA.httpProxy: expected address:port, got "127.0.0.1:65536"'],
    ],
    ['a bare port', { httpProxy: 15001 }, ['REMORA.httpProxy: expected address:port, got 15001']],
    ['a map of names', { portMap: { http: 80 } }, ['REMORA.portMap["http"]: expected port: port']],
    ['a bind that is no address', { bind: 'a b' }, ['REMORA.bind: expected a name or an address, got "a b"']],
    ['a flag that is a word', { allGateways: 'yes' }, ['REMORA.allGateways: expected true or false, got "yes"']],
    ['inbound that is no list', { inbound: {} }, ['REMORA.inbound: expected a list of at most 64 items']],
    [
      'more ports than anybody has',
      { inbound: Array(65).fill({}) },
      ['REMORA.inbound: expected a list of at most 64 items'],
    ],
    [
      'an inbound port without an app',
      { inbound: [{ port: 1, bind: 'a:1' }] },
      ['REMORA.inbound[0].app: expected address:port, got nothing'],
    ],
    [
      'the same port twice',
      {
        inbound: [
          { port: 1, bind: 'a:1', app: 'a:2' },
          { port: 1, bind: 'a:3', app: 'a:4' },
        ],
      },
      ['REMORA.inbound[1].port: 1 is there twice'],
    ],
  ] as const)('names %s', (_what, REMORA, problems) => {
    expect(laptopFacts({ REMORA: REMORA as never }).problems).toEqual(problems);
  });

  it('lets a proxy bind a port that is free, but calls none', () => {
    const { facts, problems } = laptopFacts({
      REMORA: { inbound: [{ port: 1, bind: '127.0.0.1:0', app: '127.0.0.1:0' }] },
    });
    expect(facts.inbound).toEqual([]);
    expect(problems).toEqual(['REMORA.inbound[0].app: expected address:port, got "127.0.0.1:0"']);
    expect(laptopFacts({ REMORA: { httpProxy: '127.0.0.1:0' } }).facts.httpProxy).toEqual({
      address: '127.0.0.1',
      port: 0,
    });
  });

  it('keeps what is right beside what is wrong', () => {
    const { facts } = laptopFacts({ REMORA: { httpProxy: '127.0.0.1:15001', inbound: [{ port: 'x' }] } });
    expect(facts.httpProxy).toEqual({ address: '127.0.0.1', port: 15001 });
    expect(facts.inbound).toEqual([]);
  });
});
