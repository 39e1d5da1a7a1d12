import { describe, expect, it } from 'vitest';
import { collectHeader, questionOf, untangle } from '../../../../src/cli/explain/index.ts';

const FLAGS = { header: [], namespace: 'default' };

describe('the words of remora explain', () => {
  it('takes a URL alone as a GET', () => {
    expect(questionOf('http://reviews:9080/', undefined, FLAGS)).toMatchObject({
      method: 'GET',
      url: 'http://reviews:9080/',
    });
    expect(questionOf('reviews:9080/', undefined, FLAGS)).toMatchObject({ method: 'GET' });
    expect(questionOf('post', 'http://reviews/', FLAGS)).toMatchObject({ method: 'POST' });
  });

  it('asks for what is missing', () => {
    expect(() => questionOf('POST', undefined, FLAGS)).toThrow('which URL? Such as: remora explain POST http://');
    expect(() => questionOf(undefined, undefined, FLAGS)).toThrow('which URL?');
    expect(() => questionOf('GET', '/reviews/0', FLAGS)).toThrow('/reviews/0 has no host');
    expect(questionOf('GET', '/x', { ...FLAGS, header: [['Host', 'reviews']] })).toMatchObject({ url: '/x' });
  });

  it('finds a request that was written behind --files', () => {
    expect(untangle([], { files: ['a', 'b.yaml', 'GET', 'http://x/'] })).toEqual({
      words: ['GET', 'http://x/'],
      flags: { files: ['a', 'b.yaml'] },
    });
    expect(untangle([], { files: ['a', 'http://x/'] })).toEqual({ words: ['http://x/'], flags: { files: ['a'] } });
    expect(untangle(['GET', 'http://x/'], { files: ['a'] })).toEqual({
      words: ['GET', 'http://x/'],
      flags: { files: ['a'] },
    });
  });

  it('reads headers as curl writes them', () => {
    expect(collectHeader('end-user: jason', [])).toEqual([['end-user', 'jason']]);
    expect(collectHeader('a:b:c', [['x', 'y']])).toEqual([
      ['x', 'y'],
      ['a', 'b:c'],
    ]);
    for (const wrong of ['jason', ': x', 'a: b\r\nc: d'])
      expect(() => collectHeader(wrong, [])).toThrow("must be 'name: value'");
  });
});
