import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/integration/**/*.test.ts'],
    globalSetup: ['test/integration/setup.ts'],
    testTimeout: 300_000,
    // A first start builds nothing (setup does), but servers may be slow to come up.
    hookTimeout: 120_000,
  },
})
