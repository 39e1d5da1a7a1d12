import { defineConfig } from 'vitest/config';

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
      // Parts alone leave nothing behind, so that their files may share what was loaded: a minute less.
      { extends: true, test: { name: 'parts', include: ['test/unit/**/*.test.ts'], isolate: false } },
      {
        extends: true,
        test: {
          name: 'whole',
          include: ['test/**/*.test.ts'],
          exclude: ['test/unit/**', 'test/system/**', 'node_modules/**'],
        },
      },
    ],
  },
});
