import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**', 'test/integration/**'],
    // Deadlines are generous: machines are slow and noisy, and speed is the benchmarks' matter.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
