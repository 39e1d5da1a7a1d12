import { describe, expect, it } from 'vitest';
import { usageError } from '../../../src/cli/main.ts';

describe('a mistake in the command line', () => {
  it('is one line with what was meant', () => {
    expect(usageError("error: unknown command 'stauts'\n(Did you mean status?)\n")).toBe(
      "remora: unknown command 'stauts' (did you mean status?); --help shows how\n",
    );
  });
});
