// What auditors read: controls and their verdicts, reports, reviews.
import type { AttentionReport } from '../domain/attention.ts';
import type { PopulationMember } from '../domain/population.ts';
import type { Verdict } from '../domain/verdict/types.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { Control, LifecycleReport, Page, Review, ReviewWithLines } from './types.ts';

/** A period in RFC 3339 times; the server's own if they are not said. */
export interface Period {
  from?: string | undefined;
  to?: string | undefined;
}

export const controlCalls = (transport: Transport) => ({
  list: (options?: CallOptions) => transport.get<{ data: Control[] }>('/v1/controls', options),

  /** Whether a control was real or decorative in a period, with every test and its cases. */
  verdict: (id: string, { from, to }: Period = {}, options?: CallOptions) =>
    transport.get<Verdict>(path`/v1/controls/${id}/verdict`, { ...options, query: { from, to } }),
});

export const reportCalls = (transport: Transport) => ({
  /** Agents, their owners, what they hold, and when it was last used. */
  lifecycle: (options?: CallOptions) =>
    transport.get<LifecycleReport>('/v1/reports/lifecycle', options),

  /** The same as RFC 4180 CSV. */
  lifecycleCsv: (options?: CallOptions) =>
    transport.getText('/v1/reports/lifecycle', { ...options, query: { format: 'csv' } }),

  /** What was asked of people, and what their answers would justify. Auditors see names. */
  attention: ({ from, to }: Period = {}, options?: CallOptions) =>
    transport.get<AttentionReport>('/v1/reports/attention', { ...options, query: { from, to } }),

  /** Every agent, and every identity that discovery found in a target. */
  population: (options?: CallOptions) =>
    transport.get<{ generated_at: string; data: PopulationMember[] }>(
      '/v1/reports/population',
      options,
    ),

  /** The same as RFC 4180 CSV. */
  populationCsv: (options?: CallOptions) =>
    transport.getText('/v1/reports/population', { ...options, query: { format: 'csv' } }),
});

export const reviewCalls = (transport: Transport) => ({
  /** Opens a review over everything there is now. People then keep or revoke each line, on its page. */
  open: (
    { title, dueSeconds }: { title: string; dueSeconds?: number | undefined },
    options?: CallOptions,
  ) =>
    transport.post<Review>('/v1/reviews', { ...options, body: { title, due_seconds: dueSeconds } }),

  list: (options?: CallOptions) => transport.get<Page<Review>>('/v1/reviews', options),

  get: (id: string, options?: CallOptions) =>
    transport.get<ReviewWithLines>(path`/v1/reviews/${id}`, options),
});
