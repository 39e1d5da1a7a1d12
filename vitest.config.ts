import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/system/**', 'node_modules/**'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Two cores: a worker for each, files isolated from one another.
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default'],
  },
});
