import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**', 'test/integration/**'],
    // Most of a test's time is spent waiting for the disk.
    maxWorkers: 2,
    // Deadlines are generous: machines are slow and noisy, and speed is the benchmarks' matter.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
