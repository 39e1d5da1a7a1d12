import { describe, expect, it } from 'vitest';
import { readResolvConf } from '../../../../src/protocol/dns/resolv-conf.ts';

describe('readResolvConf', () => {
  it('as a kubelet writes it', () =>
    expect(
      readResolvConf(
        'search Default.svc.cluster.local. svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n',
      ),
    ).toEqual({
      servers: ['10.96.0.10'],
      search: ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
      timeoutS: 5,
      attempts: 2,
    }));
  it('both families, comments, tabs, options', () =>
    expect(
      readResolvConf(
        '# a\n;b\nnameserver\t10.0.0.1 # first\nnameserver fd00::a\noptions rotate timeout:1  attempts:3\n',
      ),
    ).toMatchObject({ servers: ['10.0.0.1', 'fd00::a'], timeoutS: 1, attempts: 3 }));
  it('the last of search and domain counts', () => {
    expect(readResolvConf('search a b\ndomain c\n').search).toEqual(['c']);
    expect(readResolvConf('domain c\nsearch a b').search).toEqual(['a', 'b']);
  });
  it('values have bounds, nonsense is nothing', () =>
    expect(readResolvConf('options timeout:999 attempts:0 timeout: attempts:x\nnameserver\n')).toEqual({
      servers: [],
      search: [],
      timeoutS: 30,
      attempts: 1,
    }));
});
