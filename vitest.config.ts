import { defineConfig } from 'vitest/config';

/** Tests of parts, but for those that count what their process has or does, and so want one of their own. */
const PARTS = 'test/unit/**/!(allocations|clock).test.ts';

export default defineConfig({
  test: {
    // Against tests that hang, and nothing else: no test may depend on how fast the machine is.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: a worker for each.
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default'],
    projects: [
      // They leave nothing behind, so that their files may share what was loaded: a minute less.
      { extends: true, test: { name: 'parts', include: [PARTS], isolate: false } },
      {
        extends: true,
        test: {
          name: 'whole',
          include: ['test/**/*.test.ts'],
          exclude: [PARTS, 'test/system/**', 'node_modules/**'],
        },
      },
    ],
  },
});
