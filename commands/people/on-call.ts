// Sources of who is on call: how to ask them, sealed, and what they last said. Nobody is on call by a source that did
// not answer (I6).
import { eq, inArray, like, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { OnCallRow } from '../../db/rows.ts';
import { integration, onCall, person } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Vault } from '../../keys/vault.ts';
import { partyOf } from '../principal.ts';
import { CHANNELS, type Unit } from '../unit.ts';

export const ON_CALL_KINDS = ['pagerduty', 'opsgenie'] as const;

/** How a source is asked. */
export interface OnCallSettings {
  kind: (typeof ON_CALL_KINDS)[number];
  api_url: string;
  token: string;
  schedule: string;
  /** People by their id there; the others are known by their e-mail address. */
  people: Record<string, string>;
}

/** Somebody whom a source named. */
interface OnCallUser {
  id: string | null;
  email: string | null;
}

/** What a source said, or why it said nothing. */
export type OnCallAnswer = { users: OnCallUser[] } | { code: string };

const PREFIX = 'on-call/';
const useOf = (source: string): string => `integration/${PREFIX}${source}`;

export async function configureOnCall(
  unit: Unit,
  source: string,
  settings: OnCallSettings,
): Promise<void> {
  await refuseUnknownPeople(unit, settings);
  const row = {
    name: `${PREFIX}${source}`,
    sealed: unit.vault.seal(JSON.stringify(settings), useOf(source)),
    updatedAt: unit.at,
  };
  await unit.sql
    .insert(integration)
    .values(row)
    .onConflictDoUpdate({ target: integration.name, set: row });
  // What another schedule said is nothing that this one says.
  await forgetAnswer(unit, source);
  emitChanged(unit, source);
  await unit.sql.execute(sql`select pg_notify(${CHANNELS.onCall}, '')`);
}

/** Forgets a source and its secret: nobody is on call by it any more. */
export async function removeOnCall(unit: Unit, source: string): Promise<void> {
  const [gone] = await unit.sql
    .delete(integration)
    .where(eq(integration.name, `${PREFIX}${source}`))
    .returning();
  if (!gone) return;
  await forgetAnswer(unit, source);
  emitChanged(unit, source);
}

async function forgetAnswer(unit: Unit, source: string): Promise<void> {
  const [had] = await unit.sql.delete(onCall).where(eq(onCall.source, source)).returning();
  if (had) emitLooked(unit, { ...had, people: [], unmatched: 0, code: 'not_asked' });
}

function emitChanged(unit: Unit, source: string): void {
  const { type, id } = partyOf(unit.call.principal);
  unit.emit('integration.changed', {
    subject: `${PREFIX}${source}`,
    detail: { integration: `${PREFIX}${source}`, by: { type, id } },
    private: {},
  });
}

async function refuseUnknownPeople(unit: Unit, { people }: OnCallSettings): Promise<void> {
  const ids = Object.values(people).map(asPersonId);
  const known = await unit.sql
    .select({ id: person.id })
    .from(person)
    .where(inArray(person.id, ids));
  const missing = ids.find((id) => !known.some((each) => each.id === id));
  if (missing !== undefined)
    throw new Refusal('person_unknown', `There is no person ${missing}: name people by their ids.`);
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asPersonId = (id: string): Id<'person'> => id as Id<'person'>;

/** The names of every source that is connected. */
export async function onCallNames(query: Query): Promise<string[]> {
  const rows = await query
    .select({ name: integration.name })
    .from(integration)
    .where(like(integration.name, `${PREFIX}%`));
  return rows.map(({ name }) => name.slice(PREFIX.length));
}

/** Every source, with how to ask it. */
export async function readOnCallSources(
  query: Query,
  vault: Vault,
): Promise<{ source: string; settings: OnCallSettings }[]> {
  const rows = await query
    .select()
    .from(integration)
    .where(like(integration.name, `${PREFIX}%`))
    .orderBy(integration.name);
  return rows.map(({ name, sealed }) => {
    const source = name.slice(PREFIX.length);
    return { source, settings: asSettings(JSON.parse(vault.open(sealed, useOf(source)))) };
  });
}

/** Sealed by `configureOnCall`, and the seal says it was not changed since. */
const asSettings = (opened: unknown): OnCallSettings => opened as OnCallSettings;

/** What every source last said. */
export const onCallAnswers = (query: Query): Promise<OnCallRow[]> => query.select().from(onCall);

/** Keeps what a source said. Whom it names is an event when that is somebody else than before. */
export async function recordOnCall(
  unit: Unit,
  source: string,
  settings: OnCallSettings,
  answer: OnCallAnswer,
): Promise<void> {
  const [configured] = await unit.sql
    .select()
    .from(integration)
    .where(eq(integration.name, `${PREFIX}${source}`))
    .for('share');
  // Configured anew or removed while it was asked: what the old one said is for nobody.
  if (!configured || !isSame(settings, unit.vault.open(configured.sealed, useOf(source)))) return;
  const [before] = await unit.sql
    .select()
    .from(onCall)
    .where(eq(onCall.source, source))
    .for('update');
  const found = 'users' in answer ? await matchPeople(unit, settings, answer.users) : NOBODY;
  const row: OnCallRow = {
    source,
    ...found,
    lookedAt: await unit.readClock(),
    code: 'code' in answer ? answer.code : null,
  };
  await unit.sql.insert(onCall).values(row).onConflictDoUpdate({ target: onCall.source, set: row });
  if (before && said(before) === said(row)) return;
  emitLooked(unit, row);
}

const isSame = (settings: OnCallSettings, opened: string): boolean =>
  JSON.stringify(settings) === opened;

const NOBODY = { people: [], unmatched: 0 };

const said = ({ people, unmatched, code }: OnCallRow): string =>
  JSON.stringify([people, unmatched, code]);

function emitLooked(unit: Unit, { source, people, unmatched, code }: OnCallRow): void {
  unit.emit('duty.looked', {
    subject: `${PREFIX}${source}`,
    detail: { source, people, unmatched, code },
    private: {},
  });
}

/** Users there as people here: by the id that an administrator wrote down, or else by their address. */
async function matchPeople(
  unit: Unit,
  { people: byId }: OnCallSettings,
  users: readonly OnCallUser[],
): Promise<Pick<OnCallRow, 'people' | 'unmatched'>> {
  const known = await unit.sql
    .select({ id: person.id, email: person.email })
    .from(person)
    .where(eq(person.state, 'active'));
  const found = users.map(({ id, email }) => {
    const named = id === null ? undefined : byId[id];
    if (named !== undefined) return known.find((each) => each.id === named)?.id;
    const address = email?.toLowerCase();
    return known.find((each) => address !== undefined && each.email?.toLowerCase() === address)?.id;
  });
  const people = found.filter((id) => id !== undefined);
  return { people: [...new Set(people)].toSorted(), unmatched: users.length - people.length };
}
