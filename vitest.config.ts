import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/system/**', 'node_modules/**'],
    // Against tests that hang, and nothing else: no test may depend on how fast the machine is.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: a worker for each, files isolated from one another.
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default'],
  },
});
