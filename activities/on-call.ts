// Asks PagerDuty and Opsgenie who is on call now. Whatever is not a clear answer is none (I6).
import { z } from 'zod';
import {
  readOnCallSources,
  recordOnCall,
  type OnCallAnswer,
  type OnCallSettings,
} from '../commands/people/on-call.ts';
import { transact, type Call, type UnitDeps } from '../commands/unit.ts';
import { EgressError, type Egress } from './egress.ts';

const TIMEOUT_MS = 10_000;
/** PagerDuty answers at most this many at a time. */
const PAGE = 100;
const PAGES_MAX = 10;

const pagerDutyPage = z.object({
  oncalls: z.array(
    z.object({
      user: z.object({ id: z.string(), email: z.string().optional() }),
      schedule: z.object({ id: z.string() }).nullable(),
      start: z.string().nullable(),
      end: z.string().nullable(),
    }),
  ),
  more: z.boolean(),
});

const opsgenieAnswer = z.object({
  data: z.object({
    _parent: z.object({ enabled: z.boolean() }),
    onCallRecipients: z.array(z.string()),
  }),
});

/** An answer that says something else than who is on call. */
class NoAnswer extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** Who is on call by a source, or why that is not known. */
export async function askOnCall(egress: Egress, settings: OnCallSettings): Promise<OnCallAnswer> {
  try {
    return settings.kind === 'pagerduty'
      ? await askPagerDuty(egress, settings)
      : await askOpsgenie(egress, settings);
  } catch (error) {
    if (error instanceof NoAnswer || error instanceof EgressError) return { code: error.code };
    throw error;
  }
}

async function askPagerDuty(egress: Egress, settings: OnCallSettings): Promise<OnCallAnswer> {
  const users = [];
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const url = new URL(`${settings.api_url}/oncalls`);
    url.searchParams.set('schedule_ids[]', settings.schedule);
    url.searchParams.set('include[]', 'users');
    url.searchParams.set('limit', String(PAGE));
    url.searchParams.set('offset', String(page * PAGE));
    const body = await get(egress, url, {
      authorization: `Token token=${settings.token}`,
      accept: 'application/vnd.pagerduty+json;version=2',
    });
    const { oncalls, more } = parsed(pagerDutyPage, body);
    const now = Date.now();
    for (const { user, schedule, start, end } of oncalls) {
      // Asked for one schedule and for now; another answer makes nobody an approver.
      const isNow =
        (start === null || Date.parse(start) <= now) && (end === null || Date.parse(end) > now);
      if (schedule?.id === settings.schedule && isNow)
        users.push({ id: user.id, email: user.email ?? null });
    }
    if (!more) return { users: distinct(users) };
  }
  throw new NoAnswer('too_many');
}

/** One user stands there once for every escalation policy that names the schedule. */
const distinct = <T extends { id: string | null }>(users: readonly T[]): T[] => [
  ...new Map(users.map((user) => [user.id, user])).values(),
];

async function askOpsgenie(egress: Egress, settings: OnCallSettings): Promise<OnCallAnswer> {
  const url = new URL(
    `${settings.api_url}/v2/schedules/${encodeURIComponent(settings.schedule)}/on-calls`,
  );
  url.searchParams.set('scheduleIdentifierType', 'id');
  url.searchParams.set('flat', 'true');
  const body = await get(egress, url, { authorization: `GenieKey ${settings.token}` });
  const { data } = parsed(opsgenieAnswer, body);
  // Somebody who is on call by a schedule that is switched off is called by nobody.
  if (!data._parent.enabled) return { users: [] };
  // The names of users are addresses there.
  return { users: data.onCallRecipients.map((name) => ({ id: name, email: name })) };
}

async function get(egress: Egress, url: URL, headers: Record<string, string>): Promise<string> {
  const sent = await egress(url.href, {
    method: 'GET',
    headers,
    body: '',
    timeoutMs: TIMEOUT_MS,
    trusted: true,
  });
  if (sent.status === 401 || sent.status === 403) throw new NoAnswer('not_allowed');
  if (sent.status === 404) throw new NoAnswer('schedule_unknown');
  if (sent.status === 429) throw new NoAnswer('too_often');
  if (sent.status !== 200) throw new NoAnswer('not_answered');
  return sent.body;
}

function parsed<T>(schema: z.ZodType<T>, body: string): T {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new NoAnswer('not_understood');
  }
  const read = schema.safeParse(json);
  if (!read.success) throw new NoAnswer('not_understood');
  return read.data;
}

/** Asks every source once, and keeps what each says. */
export async function lookWhoIsOnCall(deps: UnitDeps, egress: Egress, call: Call): Promise<void> {
  for (const { source, settings } of await readOnCallSources(deps.db.query, deps.vault)) {
    const answer = await askOnCall(egress, settings);
    await transact(deps, call, (unit) => recordOnCall(unit, source, settings, answer));
  }
}
