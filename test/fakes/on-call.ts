// PagerDuty and Opsgenie as far as they tell who is on call: they check what the real ones check (keys, versions, limits)
// and answer in their form, with one entry for every escalation policy that names a schedule.
import { json, startServer, type FakeServer, type Given, type Received } from './server.ts';

export interface Shift {
  user: { id: string; email: string };
  schedule: string;
  /** Now, unless it says otherwise. */
  start?: string;
  end?: string;
}

export interface FakeOnCall {
  url: string;
  token: string;
  shifts: Shift[];
  /** Schedules that exist, and whether they are switched on. */
  schedules: Map<string, boolean>;
  /** What every call is answered instead, if anything. */
  broken: Given | null;
  calls: number;
  close(): Promise<void>;
}

type Answer = (fake: FakeOnCall, received: Received) => Given;

async function startOnCall(token: string, answer: Answer): Promise<FakeOnCall> {
  const fake: Omit<FakeOnCall, 'url' | 'close'> = {
    token,
    shifts: [],
    schedules: new Map(),
    broken: null,
    calls: 0,
  };
  const server: FakeServer = await startServer((received) => {
    started.calls += 1;
    return started.broken ?? answer(started, received);
  });
  const started: FakeOnCall = { ...fake, url: server.url, close: () => server.close() };
  return started;
}

const isNow = ({ start, end }: Shift): boolean =>
  (start === undefined || Date.parse(start) <= Date.now()) &&
  (end === undefined || Date.parse(end) > Date.now());

const PAGER_DUTY_LIMIT_MAX = 100;

export const startFakePagerDuty = (): Promise<FakeOnCall> =>
  startOnCall('pd-key-0123456789abcdef', (fake, { method, url, headers }) => {
    if (headers.authorization !== `Token token=${fake.token}`)
      return json(401, { error: { message: 'Unauthorized', code: 2006 } });
    if (method !== 'GET' || url.pathname !== '/oncalls')
      return json(404, { error: { message: 'Not Found', code: 2100 } });
    if (!/application\/(?:vnd\.pagerduty\+json;version=2|json)/.test(headers.accept ?? ''))
      return json(406, { error: { message: 'Not Acceptable', code: 2000 } });
    const limit = Number(url.searchParams.get('limit') ?? '25');
    const offset = Number(url.searchParams.get('offset') ?? '0');
    if (!(limit >= 1 && limit <= PAGER_DUTY_LIMIT_MAX))
      return json(400, { error: { message: 'Invalid Input Provided', code: 2001 } });
    const wanted = url.searchParams.getAll('schedule_ids[]');
    const isIncluded = url.searchParams.getAll('include[]').includes('users');
    const found = fake.shifts
      .filter((shift) => wanted.length === 0 || wanted.includes(shift.schedule))
      .filter(isNow)
      .flatMap((shift) => ['PPOLICY1', 'PPOLICY2'].map((policy) => ({ shift, policy })));
    return json(200, {
      oncalls: found.slice(offset, offset + limit).map(({ shift, policy }) => ({
        user: isIncluded
          ? { id: shift.user.id, type: 'user', name: 'Somebody', email: shift.user.email }
          : { id: shift.user.id, type: 'user_reference', summary: 'Somebody' },
        schedule: { id: shift.schedule, type: 'schedule_reference' },
        escalation_policy: { id: policy, type: 'escalation_policy_reference' },
        escalation_level: 1,
        start: shift.start ?? null,
        end: shift.end ?? null,
      })),
      limit,
      offset,
      more: offset + limit < found.length,
      total: null,
    });
  });

export const startFakeOpsgenie = (): Promise<FakeOnCall> =>
  startOnCall('eb24a1f0-faa2-4ba2-a551-01bf565c8899', (fake, { method, url, headers }) => {
    const answer = (status: number, body: object): Given =>
      json(status, { ...body, took: 0.01, requestId: 'a5e1b2c3-0000-4000-8000-000000000000' });
    if (headers.authorization !== `GenieKey ${fake.token}`)
      return answer(401, { message: 'Could not authenticate' });
    const path = /^\/v2\/schedules\/([^/]+)\/on-calls$/.exec(url.pathname);
    const by = url.searchParams.get('scheduleIdentifierType') ?? 'id';
    if (method !== 'GET' || !path || by !== 'id') return answer(404, { message: 'Not found' });
    const id = decodeURIComponent(path[1] ?? '');
    const enabled = fake.schedules.get(id);
    if (enabled === undefined)
      return answer(404, { message: `No schedule exists with id [${id}]` });
    const names = fake.shifts
      .filter((shift) => shift.schedule === id && isNow(shift))
      .map(({ user }) => user.email);
    const parent = { id, name: 'Orders', enabled };
    return answer(
      200,
      url.searchParams.get('flat') === 'true'
        ? { data: { _parent: parent, onCallRecipients: names } }
        : {
            data: {
              _parent: parent,
              onCallParticipants: names.map((name) => ({ name, type: 'user' })),
            },
          },
    );
  });
