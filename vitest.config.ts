import { defineConfig } from 'vitest/config';

/** Tests that need no server run in seconds; the others share one PostgreSQL and one Temporal. */
export default defineConfig({
  test: {
    // Two cores: more workers only wait for each other.
    maxWorkers: 2,
    reporters: process.env['CI']
      ? ['default', ['json', { outputFile: '.vitest-report.json' }]]
      : ['default'],
    projects: [
      {
        test: {
          name: 'domain',
          include: ['test/domain/**/*.test.ts', 'test/keys/**/*.test.ts'],
          // Properties run many cases, and a busy machine is no reason to fail them.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'service',
          include: ['test/{db,commands,activities,api,web,sdk,cli}/**/*.test.{ts,tsx}'],
          globalSetup: ['test/support/servers.ts'],
          expect: { poll: { timeout: 15_000 } },
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'workflows',
          include: ['test/workflows/**/*.test.ts'],
          globalSetup: ['test/support/time-skipping.ts'],
          // Some things happen in real time, on a machine that does much else.
          expect: { poll: { timeout: 15_000 } },
          testTimeout: 90_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
