import { describe, expect, it } from 'vitest';
import { applyPatch, pointer, pointerParts } from '../../../../src/control/injector/json-patch.ts';

describe('JSON patches', () => {
  it('escape what a pointer cannot hold (RFC 6901 section 3)', () => {
    const path = ['metadata', 'annotations', 'a/b~c', 0];
    expect(pointer(path)).toBe('/metadata/annotations/a~1b~0c/0');
    expect(pointerParts(pointer(path))).toEqual(['metadata', 'annotations', 'a/b~c', '0']);
  });

  it('insert into lists, append and replace, and leave the value given alone', () => {
    const given = { list: [1, 2], map: { a: 1 } };
    const after = applyPatch(given, [
      { op: 'add', path: '/list/0', value: 0 },
      { op: 'add', path: '/list/-', value: 3 },
      { op: 'replace', path: '/list/1', value: 'one' },
      { op: 'add', path: '/map/b~1c', value: { d: 1 } },
      { op: 'add', path: '/map/a', value: 2 },
    ]);
    expect(after).toEqual({ list: [0, 'one', 2, 3], map: { a: 2, 'b/c': { d: 1 } } });
    expect(given).toEqual({ list: [1, 2], map: { a: 1 } });
  });

  it('fail where a path leads nowhere', () => {
    for (const path of ['/none/a', '/list/5', '/map/a/b'])
      expect(() => applyPatch({ list: [1], map: { a: 1 } }, [{ op: 'add', path, value: 0 }])).toThrow(path);
    expect(() => applyPatch({}, [{ op: 'replace', path: '/a', value: 0 }])).toThrow('nothing to replace');
  });
});
