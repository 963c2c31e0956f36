import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/e2e/**/*.test.ts'],
    globalSetup: ['test/e2e/setup.ts'],
    testTimeout: 300_000,
    hookTimeout: 600_000,
    // One cluster on two cores: the tests of a file run side by side where they say so.
    fileParallelism: false,
    maxConcurrency: 4,
  },
})
