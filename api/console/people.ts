// People, for administrators and auditors.
import { asc } from 'drizzle-orm';
import { changeOwningPerson } from '../../commands/agents/owners.ts';
import { answerOnce } from '../../commands/once.ts';
import {
  invitePerson,
  knownPerson,
  lockPerson,
  makeSignInLink,
} from '../../commands/people/people.ts';
import { readActiveBundle } from '../../commands/policy/policies.ts';
import { isAdmin } from '../../commands/principal.ts';
import { passkeysOf, removePasskey } from '../../commands/sign-in/passkeys.ts';
import { transact } from '../../commands/unit.ts';
import type { PersonRow } from '../../db/rows.ts';
import { person, PERSON_ROLES } from '../../db/schema/people.ts';
import { Refusal } from '../../domain/refusal.ts';
import { groupsEver, isGroupOfPeople } from '../../domain/seats.ts';
import { PeoplePage, PersonPage, type NewLink, type PersonLine } from '../../web/people.tsx';
import { STATUS } from '../problem.ts';
import { created } from '../route.ts';
import * as shape from '../schemas.ts';
import { absencesFor, sayAway, sayBack } from './absences.ts';
import { passkeyLine } from './account.ts';
import {
  field,
  onceOf,
  page,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { attempt, newOnce, parseFields, saidBy, typed } from './forms.ts';

/** More people than this are found through the API. */
const SHOWN = 500;

const lineOf = (row: PersonRow): PersonLine => ({
  id: row.id,
  name: row.name,
  email: row.email,
  roles: row.roles,
  groups: row.groups,
  slack: row.slackUserId,
  state: row.state,
});

/** The groups that today's routes ask. */
async function askedGroups(deps: ConsoleDeps): Promise<string[]> {
  const { routes } = await readActiveBundle(deps.db.query, deps.policies);
  return [
    ...new Set(
      [...routes.values()].flatMap(({ rule }) => groupsEver(rule).filter(isGroupOfPeople)),
    ),
  ].toSorted();
}

async function showPeople(
  visit: Visit,
  deps: ConsoleDeps,
  outcome: { link?: NewLink; refusal?: Refusal },
): Promise<Response> {
  const rows = await deps.db.query.select().from(person).orderBy(asc(person.name)).limit(SHOWN);
  return page(
    PeoplePage({
      shell: visit.shell,
      rows: rows.map(lineOf),
      link: outcome.link ?? null,
      said: outcome.refusal ? saidBy(outcome.refusal) : null,
      rights: {
        roles: PERSON_ROLES,
        groups: await askedGroups(deps),
        values: outcome.refusal ? typed(visit) : { 'role-approver': 'on' },
      },
      once: newOnce(),
      isAdmin: isAdmin(reader(visit)),
    }),
    outcome.refusal ? STATUS[outcome.refusal.code] : 200,
  );
}

const list: ConsoleRoute = {
  method: 'get',
  path: '/people',
  who: 'auditor',
  handle: (visit, deps) => showPeople(visit, deps, {}),
};

const rolesFrom = (visit: Visit): string[] =>
  PERSON_ROLES.filter((role) => field(visit, `role-${role}`) === 'on');

const groupsFrom = (visit: Visit): string[] => [
  ...new Set(
    field(visit, 'groups')
      .split(/[\s,]+/)
      .filter((group) => group !== ''),
  ),
];

const invite: ConsoleRoute = {
  method: 'post',
  path: '/people',
  sameAs: 'post /v1/people',
  who: 'admin',
  handle: async (visit, deps) => {
    const answer = await attempt(async () => {
      const email = field(visit, 'email');
      const body = parseFields(shape.personBody, {
        name: field(visit, 'name'),
        ...(email !== '' && { email }),
        roles: rolesFrom(visit),
        groups: groupsFrom(visit),
      });
      // Sending the form again, by a reload, shows the same link and invites nobody twice.
      return answerOnce(deps, visit.call, onceOf(visit), async (unit) => {
        const row = await invitePerson(unit, body);
        const link = await makeSignInLink(unit, row.id);
        return created({
          name: row.name,
          url: `${deps.publicUrl}/sign-in/${link.token}`,
          expiresAt: link.expiresAt,
        });
      });
    });
    if (answer instanceof Refusal) return showPeople(visit, deps, { refusal: answer });
    return showPeople(visit, deps, { link: asLink(answer.body) });
  },
};

/** The body is the one that `invite` made, replayed or not. */
const asLink = (body: unknown): NewLink => body as NewLink;

async function showPerson(
  visit: Visit,
  deps: ConsoleDeps,
  outcome: { link?: NewLink; refusal?: Refusal; away?: Refusal },
): Promise<Response> {
  const row = await knownPerson(deps.db.query, visit.params['id'] ?? '');
  const refusal = outcome.refusal ?? outcome.away;
  const current = {
    ...Object.fromEntries(row.roles.map((role) => [`role-${role}`, 'on'])),
    groups: row.groups.join(', '),
    slack: row.slackUserId ?? '',
    ...(row.state === 'active' && { active: 'on' }),
  };
  return page(
    PersonPage({
      shell: visit.shell,
      row: lineOf(row),
      link: outcome.link ?? null,
      passkeys: (await passkeysOf(deps.db.query, row.id)).map(passkeyLine),
      absences: await absencesFor(visit, deps, row.id, outcome.away ?? null),
      said: outcome.refusal ? saidBy(outcome.refusal) : null,
      rights: {
        roles: PERSON_ROLES,
        groups: await askedGroups(deps),
        values: outcome.refusal ? typed(visit) : current,
      },
    }),
    refusal ? STATUS[refusal.code] : 200,
  );
}

const show: ConsoleRoute = {
  method: 'get',
  path: '/people/{id}',
  who: 'admin',
  handle: (visit, deps) => showPerson(visit, deps, {}),
};

const change: ConsoleRoute = {
  method: 'post',
  path: '/people/{id}',
  sameAs: 'patch /v1/people/{id}',
  who: 'admin',
  handle: async (visit, deps) => {
    const { id } = await knownPerson(deps.db.query, visit.params['id'] ?? '');
    const done = await attempt(async () => {
      const slack = field(visit, 'slack');
      const body = parseFields(shape.personChange, {
        roles: rolesFrom(visit),
        groups: groupsFrom(visit),
        slack_user_id: slack === '' ? null : slack,
        state: field(visit, 'active') === 'on' ? 'active' : 'deactivated',
      });
      return transact(deps, visit.call, (unit) => changeOwningPerson(unit, deps, id, body));
    });
    return done instanceof Refusal
      ? showPerson(visit, deps, { refusal: done })
      : redirect(`/people/${id}`);
  },
};

const newLink: ConsoleRoute = {
  method: 'post',
  path: '/people/{id}/links',
  sameAs: 'post /v1/people/{id}/links',
  who: 'admin',
  handle: async (visit, deps) => {
    const { id } = await knownPerson(deps.db.query, visit.params['id'] ?? '');
    const link = await transact(deps, visit.call, async (unit) => {
      const row = await lockPerson(unit, id);
      const made = await makeSignInLink(unit, row.id);
      return {
        name: row.name,
        url: `${deps.publicUrl}/sign-in/${made.token}`,
        expiresAt: made.expiresAt,
      };
    });
    return showPerson(visit, deps, { link });
  },
};

const removePasskeyOf: ConsoleRoute = {
  method: 'post',
  path: '/people/{id}/passkeys/{passkey}/remove',
  sameAs: 'delete /v1/people/{id}/passkeys/{passkey}',
  who: 'admin',
  handle: async (visit, deps) => {
    const { id } = await knownPerson(deps.db.query, visit.params['id'] ?? '');
    await transact(deps, visit.call, (unit) =>
      removePasskey(unit, id, visit.params['passkey'] ?? ''),
    );
    return redirect(`/people/${id}`);
  },
};

const away: ConsoleRoute = {
  method: 'post',
  path: '/people/{id}/absences',
  sameAs: 'post /v1/people/{id}/absences',
  who: 'admin',
  handle: async (visit, deps) => {
    const { id } = await knownPerson(deps.db.query, visit.params['id'] ?? '');
    return afterAbsence(visit, deps, id, await sayAway(visit, deps, id));
  },
};

const back: ConsoleRoute = {
  method: 'post',
  path: '/people/{id}/absences/{absence}/remove',
  sameAs: 'delete /v1/people/{id}/absences/{absence}',
  who: 'admin',
  handle: async (visit, deps) => {
    const { id } = await knownPerson(deps.db.query, visit.params['id'] ?? '');
    return afterAbsence(visit, deps, id, await sayBack(visit, deps, id));
  },
};

const afterAbsence = async (
  visit: Visit,
  deps: ConsoleDeps,
  id: string,
  done: unknown,
): Promise<Response> =>
  done instanceof Refusal
    ? showPerson(visit, deps, { away: done })
    : redirect(`/people/${id}#away`);

export const peoplePages = [list, invite, show, change, newLink, removePasskeyOf, away, back];
