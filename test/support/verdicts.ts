// A verdict as the API answers it, made up for the tests of what shows it.
import type { Verdict } from '../../domain/verdict/types.ts';

export const sampleVerdict = (more: Partial<Verdict> = {}): Verdict => ({
  control: 'orders-write',
  grain: 'session',
  period: { from: '2026-10-01T00:00:00.000Z', to: '2026-11-01T00:00:00.000Z' },
  simulated: false,
  interim: true,
  log: { size: 812, root: 'kYh0WmW5m1Fv1Y0b1kq2p3xJ3m3m3m3m3m3m3m3m3m0=' },
  rule_set: `sha256:${'a'.repeat(64)}`,
  verdict: 'insufficient_evidence',
  layers: {
    design: { state: 'insufficient_data', tests: [] },
    operation: {
      state: 'deficient',
      tests: [
        {
          id: 'completeness',
          state: 'deficient',
          population: 12,
          exceptions: 1,
          threshold: '0',
          says: 'one write had no approval',
          cases: [
            {
              request: null,
              events: ['evt_01m7yqz94per4a0z6yjear23mr'],
              says: 'a login that nobody issued wrote to orders',
            },
          ],
        },
      ],
    },
    deliberation: { state: 'insufficient_data', tests: [] },
    evidence: { state: 'effective', tests: [] },
  },
  needed: ['9 more canaries', 'no sensor on db:orders'],
  ...more,
});
