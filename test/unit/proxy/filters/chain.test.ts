import { describe, expect, it } from 'vitest';
import { compileChain } from '../../../../src/proxy/filters/chain.ts';
import { FilterResult, type HttpFilter } from '../../../../src/proxy/filters/filter.ts';

const head: HttpFilter = { onRequestHead: () => FilterResult.Next };
const both: HttpFilter = { onRequestHead: () => FilterResult.Next, onResponseHead: () => FilterResult.Next };
const answer: HttpFilter = { onResponseHead: () => FilterResult.Next, onEnd: () => {} };

const configured = (...filters: HttpFilter[]) =>
  filters.map((filter, i) => ({ name: `f${i}`, filter, disabled: false }));

describe('the filter chain', () => {
  it('has null for every hook that nobody has', () => {
    const chain = compileChain(configured(head));
    expect(chain.requestHead).toHaveLength(1);
    const rest = [
      chain.requestData,
      chain.requestTrailers,
      chain.responseHead,
      chain.responseData,
      chain.responseTrailers,
      chain.end,
    ];
    expect(rest).toEqual([null, null, null, null, null, null]);
    expect(compileChain([]).requestHead).toBeNull();
  });

  it('runs requests in configured order and responses in reverse', () => {
    const chain = compileChain(configured(head, both, answer));
    expect(chain.requestHead!.map((entry) => entry.index)).toEqual([0, 1]);
    expect(chain.responseHead!.map((entry) => entry.index)).toEqual([2, 1]);
    expect(chain.end!.map((entry) => entry.filter)).toEqual([answer]);
  });

  it('finds hooks of classes', () => {
    class Filter implements HttpFilter {
      onRequestHead(): FilterResult {
        return FilterResult.Next;
      }
    }
    expect(compileChain(configured(new Filter())).requestHead).toHaveLength(1);
  });

  it('knows whether any filter is off by default', () => {
    expect(compileChain(configured(head)).someDisabled).toBe(false);
    expect(compileChain([{ name: 'a', filter: head, disabled: true }]).someDisabled).toBe(true);
  });
});
