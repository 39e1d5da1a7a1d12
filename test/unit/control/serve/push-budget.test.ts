import { expect, it } from 'vitest';
import { PushBudget } from '../../../../src/control/serve/push-budget.ts';
import { manualClock } from '../../../support/clock.ts';

const KB = 1024;

it('lets changes pass, and big responses one after the other', () => {
  const clock = manualClock();
  const budget = new PushBudget({ clock, limit: 1000 * KB });
  const order: string[] = [];
  const client = (name: string) => {
    const one = {
      share: null as ReturnType<PushBudget['take']>,
      attempt: () => {
        one.share = budget.take(600 * KB, one.attempt);
        if (one.share !== null) order.push(name);
      },
    };
    return one;
  };
  const [a, b, c] = [client('a'), client('b'), client('c')];
  for (const one of [a, b, c]) one.attempt();
  expect(order).toEqual(['a']);
  // An endpoint's change does not wait for them.
  expect(budget.take(700, () => {})).not.toBeNull();
  a.share?.release();
  a.share?.release();
  expect(order).toEqual(['a', 'b']);
  b.share?.release();
  expect(order).toEqual(['a', 'b', 'c']);
});

it('sends what is bigger than all of it, alone', () => {
  const budget = new PushBudget({ clock: manualClock(), limit: 100 * KB });
  expect(budget.take(500 * KB, () => {})).not.toBeNull();
  expect(budget.take(80 * KB, () => {})).toBeNull();
});

it('does not wait for ever for a client that does not answer', () => {
  const clock = manualClock();
  const budget = new PushBudget({ clock, limit: 100 * KB, holdMs: 1000 });
  budget.take(100 * KB, () => {});
  let tries = 0;
  budget.take(100 * KB, () => void tries++);
  clock.advance(1000);
  expect(tries).toBe(1);
});

it('forgets a client that is gone', () => {
  const budget = new PushBudget({ clock: manualClock(), limit: 100 * KB });
  const share = budget.take(100 * KB, () => {});
  let tries = 0;
  const retry = () => void tries++;
  budget.take(100 * KB, retry);
  budget.forget(retry);
  share?.release();
  expect(tries).toBe(0);
});
