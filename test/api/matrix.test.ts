// Every door that leads to a vote, with every role of person, on every kind of request, in every state: the same
// outcome everywhere, as a model says that knows nothing of the code.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROUTES } from '../../api/app.ts';
import { CONSOLE } from '../../api/console/index.ts';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { seen as readRequest } from '../support/cast.ts';
import { admin, anyone, eventually, type Caller } from '../support/client.ts';
import {
  goThrough,
  look,
  says,
  usualDecision,
  type Decision,
  type Seen,
  type Told,
} from '../support/matrix-doors.ts';
import {
  channelOf,
  DOORS,
  exists,
  expected,
  isForSlack,
  isHeard,
  isSlack,
  KINDS,
  principalOf,
  ROLES,
  STATES,
  STATUS_OF,
  type Cell,
  type KindName,
  type StateName,
  WITHDRAWALS,
  WITHDRAWERS,
  withdrawn,
  type Withdrawer,
} from '../support/matrix-model.ts';
import {
  bring,
  countEvents,
  decidedSince,
  open,
  startMatrix,
  type MatrixCast,
} from '../support/matrix.ts';

let cast: MatrixCast;

beforeAll(async () => {
  cast = await startMatrix();
}, 240_000);
afterAll(() => cast.close());

const cellsOf = (kind: KindName, state: StateName): Cell[] =>
  ROLES.flatMap((role) => DOORS.map((door) => ({ kind, state, role, door }))).filter(exists);

const personIn = (cell: Cell): string | null =>
  principalOf(cell.role) === 'person' && cell.role in cast.members
    ? cast.members[cell.role as keyof typeof cast.members].id
    : null;

/** The event that a refusal leaves behind. */
const refusalOf = (cell: Cell, decision: Decision = usualDecision(cell.door)) => ({
  code: expected(cell),
  person: personIn(cell),
  principal: principalOf(cell.role),
  channel: channelOf(cell.door),
  decision,
});

const asLine = (value: object): string =>
  JSON.stringify(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));

/** Goes through one door, and sees that it says what it has to. */
async function tried(cell: Cell, seen: Seen): Promise<Told> {
  const told = await goThrough(cast, cell, seen);
  const { role, door } = cell;
  const status = isSlack(door) ? null : STATUS_OF[expected(cell)];
  const isTold = !isSlack(door) || told.text.includes('Nothing changed: ');
  expect({ role, door, status: told.status, isTold }).toEqual({ role, door, status, isTold: true });
  return told;
}

/** Every door tells somebody the same words; the API's are taken as they are. */
function sameWords(told: ReadonlyMap<Cell, Told>): void {
  for (const [cell, { text: words }] of told) {
    const own = [...told].find(
      ([other]) =>
        other.role === cell.role && other.door === 'api' && expected(other) === expected(cell),
    );
    const isSame = own && isHeard(cell);
    if (isSame) expect(words).toContain(says(cell, own[1].text));
  }
}

/** Tries every cell in which nothing may change, and sees that nothing did. */
async function refusesAll(kind: KindName, state: StateName): Promise<void> {
  const id = await open(cast, kind);
  // Its end is on its card.
  if (state === 'due') await bring(cast, id, state);
  const seen = await look(cast, id);
  await bring(cast, id, state);
  const before = await countEvents(cast, id);
  const was = await readRequest(cast.service, id);
  const cells = cellsOf(kind, state).filter((cell) => expected(cell) !== 'taken');
  const told = new Map<Cell, Told>();
  if (state === 'due') {
    // Whoever may decide and comes first once the time is over closes it: each of them is to be the first.
    const last = (cell: Cell): number => Number(expected(cell) === 'request_expired');
    for (const cell of cells.toSorted((one, other) => last(one) - last(other))) {
      await bring(cast, id, 'due');
      told.set(cell, await tried(cell, seen));
    }
  } else {
    // A door at a time: all at once a busy machine would not acknowledge as soon as Slack wants it.
    for (const door of DOORS)
      await Promise.all(
        cells
          .filter((cell) => cell.door === door)
          .map(async (cell) => told.set(cell, await tried(cell, seen))),
      );
  }
  sameWords(told);
  const events = await decidedSince(cast, id, before);
  const refused = events.filter(({ type }) => type === 'vote.refused');
  expect(refused.map(({ detail }) => asLine(detail)).toSorted()).toEqual(
    cells
      .filter(isHeard)
      .map((cell) => asLine(refusalOf(cell)))
      .toSorted(),
  );
  // An agent whose admission ran out is rejected, which is nothing that anybody decided.
  const others = events
    .map(({ type }) => type)
    .filter((type) => /^(vote|request|permit)\./.test(type) && type !== 'vote.refused');
  expect(new Set(others)).toEqual(new Set(state === 'due' ? ['request.expired'] : []));
  const is = await readRequest(cast.service, id);
  expect([is['state'], is['votes']]).toEqual([
    state === 'due' ? 'expired' : was['state'],
    was['votes'],
  ]);
}

describe.each(KINDS)('SEC-A2: %s', (kind) => {
  it.each(STATES)(
    'while %s: every door refuses everybody alike who may not decide, tells them so, and records it',
    async (state) => {
      expect.hasAssertions();
      await refusesAll(kind, state);
    },
    60_000,
  );
});

/** What becomes of approving these has other tests; here it would change what the rest is tried under. */
const ONLY_DENIED: readonly KindName[] = ['policy', 'emergency'];

const TAKEN: readonly [Cell['role'], Cell['door'], Decision][] = [
  ['approver', 'api', 'approve'],
  ['approver', 'form', 'deny'],
  ['approver', 'button', 'approve'],
  ['approver', 'modal', 'deny'],
  ['stand-in', 'socket', 'approve'],
];

describe.each(KINDS)('SEC-A2: %s that is decided', (kind) => {
  const all = TAKEN.map(([role, door, decision]) => ({ role, door, decision })).filter(
    ({ door, decision }) =>
      (decision === 'deny' || !ONLY_DENIED.includes(kind)) && (!isSlack(door) || isForSlack(kind)),
  );
  it.each(all)(
    'by $role through $door is one vote, and every other door then says the same',
    async ({ role, door, decision }) => {
      const id = await open(cast, kind);
      const seen = await look(cast, id);
      const before = await countEvents(cast, id);
      const cell = { kind, state: 'pending' as const, role, door };
      expect(expected(cell)).toBe('taken');
      const { status } = await goThrough(cast, cell, seen, decision);
      expect(status).toBe(isSlack(door) ? null : 201);
      const left = decision === 'deny' ? 'request.denied' : 'request.approved';
      await eventually(async () => {
        const events = await decidedSince(cast, id, before);
        return events.some(({ type }) => type === left);
      }, left);
      const events = await decidedSince(cast, id, before);
      const votes = events.filter(({ type }) => type === 'vote.cast');
      expect(votes.map(({ detail }) => detail)).toMatchObject([
        { person: personIn(cell), decision, channel: channelOf(door) },
      ]);
      expect(events.filter(({ type }) => type === 'vote.refused')).toEqual([]);
      const again = {
        ...cell,
        state: decision === 'deny' ? ('denied' as const) : ('approved' as const),
      };
      const late = DOORS.map((each) => ({ ...again, door: each })).filter(exists);
      await Promise.all(late.map((each) => tried(each, seen)));
    },
    60_000,
  );
});

describe.each(['credential', 'access'] as const)(
  'SEC-A2: withdrawing what was asked: %s',
  (kind) => {
    it.each(STATES)('while %s: is for whoever asked, and only while it waits', async (state) => {
      const id = await open(cast, kind);
      await bring(cast, id, state);
      const before = await countEvents(cast, id);
      const isAgents = kind === 'credential';
      const callers: Record<Withdrawer, Caller> = {
        asker: isAgents ? cast.agent : cast.point,
        'other agent': isAgents ? cast.point : cast.agent,
        approver: cast.members.approver,
        automation: admin(cast.service),
        nobody: anyone(cast.service),
      };
      const cells = WITHDRAWERS.flatMap((who) => WITHDRAWALS.map((by) => ({ who, by })));
      // The one who may comes last: everybody else is refused while it could still be done.
      for (const { who, by } of cells.toReversed()) {
        const { status } = await callers[who].call('POST', `${by}/requests/${id}/cancel`, {});
        expect({ who, by, status }).toEqual({ who, by, status: withdrawn(kind, state, who, by) });
      }
      const written = (await decidedSince(cast, id, before)).map(({ type }) => type);
      const ends: Partial<Record<StateName, string>> = {
        ...{ pending: 'request.cancelled', due: 'request.expired' },
      };
      const end = ends[state];
      expect(written).toEqual(end === undefined ? [] : [end]);
    });
  },
);

/** The sources of the product that have a text in them. */
function sourcesWith(pattern: RegExp): string[] {
  const folders = [
    'activities',
    'api',
    'cli',
    'commands',
    'db',
    'domain',
    'sdk',
    'web',
    'workflows',
  ];
  return folders
    .flatMap((folder) =>
      readdirSync(path.join(PACKAGE_ROOT, folder), { recursive: true, encoding: 'utf8' }).map(
        (name) => `${folder}/${name}`,
      ),
    )
    .filter((name) => /\.tsx?$/.test(name))
    .filter((name) => pattern.test(readFileSync(path.join(PACKAGE_ROOT, name), 'utf8')))
    .toSorted();
}

describe('SEC-A2: the doors of this matrix', () => {
  it('are all there are: nothing else calls the one function that decides', () => {
    expect(sourcesWith(/import \{[^}]*\bdecide\b[^}]*\} from '[^']*\/decide\.ts'/)).toEqual([
      'activities/slack/desk.ts',
      'api/console/requests.ts',
      'api/requests.ts',
    ]);
    // Nothing besides it writes votes, or moves a request to where only votes may.
    expect(sourcesWith(/\.insert\(vote\)/)).toEqual(['commands/approvals/decide.ts']);
    expect(sourcesWith(/from '\.{1,2}\/(?:commands\/)?conclude\.ts'/)).toEqual([
      'commands/approvals/decide.ts',
    ]);
    expect(sourcesWith(/moveRequest\([^)]*'(?:approved|denied)'/)).toEqual([
      'commands/approvals/conclude.ts',
    ]);
    // What Slack sends comes by these two ways.
    expect(sourcesWith(/keepDelivery\(unit/)).toEqual(['api/slack/routes.ts', 'cli/slack.ts']);
  });

  it('are the routes that say that a vote may come of them', () => {
    const votes = ROUTES.filter(({ events }) => events.includes('vote.cast'));
    expect(votes.map(({ path: at }) => at).toSorted()).toEqual([
      '/slack/interactions',
      '/v1/requests/{id}/votes',
    ]);
    const forms = CONSOLE.filter(({ sameAs }) => sameAs === 'post /v1/requests/{id}/votes');
    expect(forms.map(({ path: at }) => at)).toEqual(['/requests/{id}']);
  });
});
