import { defineConfig } from 'vitest/config'

/** Needs a running Easel (EASEL_URL) and Chromium (CHROMIUM). `pytest tests/web` provides both. */
export default defineConfig({
  test: {
    include: ['e2e/**/*.e2e.ts'],
    setupFiles: ['vitest.e2e.setup.ts'],
    fileParallelism: false,
    isolate: false, // one browser for all files: each start takes a second
    testTimeout: 120_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 60_000 } },
  },
})
