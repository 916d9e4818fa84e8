// Glass that can be broken while we are down: asking for a login that lies ready, agreeing to it, and the two people
// who bring a key each and take one half of its password each.
import { and, asc, desc, eq, gt, inArray, ne } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { GlassKitRow, PersonRow, RequestRow } from '../../db/rows.ts';
import { glassKit, person, type KitSeat } from '../../db/schema/index.ts';
import { actionDigest, type Action } from '../../domain/action.ts';
import { isStrongEnough, type FrozenRoute } from '../../domain/approval.ts';
import { isBlocked } from '../../domain/break-glass.ts';
import { PREPARE_KIT } from '../../domain/glass-kit.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal, type RefusalCode } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { accessOf, targetOf } from '../access/kinds.ts';
import { targetWorkflow } from '../agents/tasks.ts';
import {
  aboutRequest,
  findLiveDuplicate,
  findRequest,
  openRequest,
  recordEvaluation,
} from '../approvals/requests.ts';
import { deniedBy, unknownRole } from '../credentials/credentials.ts';
import type { Deps } from '../deps.ts';
import { asPersonId } from '../people/people.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { mayVote, partyOf, type PersonPrincipal } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { boundByDoor, reviewOpen, takeEmergencies, unreviewed } from './break-glass.ts';

export interface KitAsk {
  target: string;
  role: string;
  holders: [string, string];
  expiresIn: number;
  reason: string;
}

const DAY = 86_400;

/** Asks for a login that lies ready. It always waits for the people of every gate, none of whom holds a half. */
export async function askForKit(
  unit: Unit,
  deps: Deps,
  ask: KitAsk,
): Promise<RequestRow | Refusal> {
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const definition = bundle.roles.get(ask.role);
  if (!definition) throw unknownRole(ask.role, [...bundle.roles.keys()]);
  const party = partyOf(unit.call.principal);
  const action: Action = {
    subject: party,
    actor_chain: [party],
    action: PREPARE_KIT,
    resource: { type: 'role', id: ask.role },
    parameters: {
      target: ask.target,
      holders: ask.holders.toSorted(),
      expires_in: ask.expiresIn,
    },
    data_class: definition.data_class,
    destination: accessOf(definition).destination(definition),
    // Whoever decides is told whom an id stands for.
    context: { reason: ask.reason, holder_names: await namesOf(unit, ask.holders) },
  };
  refuseElsewhere(bundle, deps, ask);
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  const refusal = await whyNoKit(unit, evaluation.routes, ask);
  if (evaluation.decision === 'hold' && refusal) return refusal;
  const live = await findLiveDuplicate(unit, null, actionDigest(action));
  if (live) return live;
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision !== 'hold') return deniedBy(judged);
  return openRequest(
    unit,
    {
      ...{ action, agent: null, task: null, reason: ask.reason, sealTo: null, callbackUrl: null },
      // Whoever holds a half gains by it, and has no say in it.
      spent: [...ask.holders],
    },
    judged,
  );
}

async function namesOf(unit: Unit, holders: readonly string[]): Promise<string[]> {
  const found = await holdersAmong(unit.sql, holders);
  return holders.toSorted().map((id) => found.get(id)?.name ?? id);
}

const refused = (says: string): Refusal => new Refusal('break_glass_refused', says);

/** Only where a login can be made, and where somebody independent will see what is done with it. */
function refuseElsewhere(bundle: PolicyBundle, deps: Deps, { role, target }: KitAsk): void {
  const definition = bundle.roles.get(role);
  if (!definition || targetOf(definition) !== target)
    throw refused(`The role ${role} does not lead to the target "${target}".`);
  if (!deps.issuers[definition.issuer].kits)
    throw refused('Only a login of a PostgreSQL can lie ready for when we are down.');
  const place = bundle.targets.get(target);
  if (place?.issuer !== 'postgres' || place.observer_url_from === undefined)
    throw refused(
      `Nobody independent sees "${target}", so its use would stay unseen: give it an observer (observer_url_from in roles.yaml).`,
    );
}

type Ask = Pick<KitAsk, 'holders' | 'expiresIn'>;

/** Why these two may not hold the halves, or not for so long, or not now. */
async function whyNoKit(
  unit: Unit,
  routes: readonly FrozenRoute[],
  { holders, expiresIn }: Ask,
): Promise<Refusal | null> {
  for (const { name, rule } of routes) {
    const days = rule.break_glass?.offline?.max_days ?? 0;
    if (expiresIn > days * DAY)
      return refused(`The route "${name}" lets a login lie ready for at most ${days} days.`);
  }
  const [one, other] = holders;
  if (one === other) return refused('The two halves are for two people: name two.');
  const found = await holdersAmong(unit.sql, holders);
  const unfit = holders.find((id) => !isFit(found.get(id), gatesOf(routes)));
  if (unfit !== undefined)
    return new Refusal(
      'not_eligible',
      `The person ${unfit} cannot hold a half: holders are active approvers in a group that break_glass of every route names.`,
    );
  if ((await boundByDoor(unit, asPersonId(one))).includes(other))
    return new Refusal(
      'not_eligible',
      'One of these two let the other in, so they could be one human: name somebody else.',
    );
  const gates = routes.map(({ name }) => name);
  const wanted = { agent: null, gates, people: holders, incident: null };
  return isBlocked(wanted, await unreviewed(unit.sql)) ? reviewOpen() : null;
}

/** The groups out of which each gate takes those who break its glass. */
const gatesOf = (routes: readonly FrozenRoute[]): string[][] =>
  routes.map(({ rule }) => rule.break_glass?.groups ?? []);

const isFit = (row: PersonRow | undefined, gates: readonly (readonly string[])[]): boolean =>
  row !== undefined &&
  row.state === 'active' &&
  mayVote(row.roles) &&
  gates.every((groups) => groups.some((group) => row.groups.includes(group)));

async function holdersAmong(
  query: Query | Transaction,
  ids: readonly string[],
): Promise<Map<string, PersonRow>> {
  const rows = await query
    .select()
    .from(person)
    .where(inArray(person.id, ids.map(asPersonId)));
  return new Map(rows.map((row) => [row.id, row]));
}

/** Whether both may still hold their halves, under these routes. */
export async function areHoldersFit(
  query: Query | Transaction,
  holders: readonly string[],
  routes: readonly FrozenRoute[],
): Promise<boolean> {
  const found = await holdersAmong(query, holders);
  return holders.every((id) => isFit(found.get(id), gatesOf(routes)));
}

/** Opens what people agreed to: from here on its two holders may bring their keys. */
export async function openKit(
  unit: Unit,
  row: RequestRow,
  permit: Id<'permit'>,
): Promise<Refusal | null> {
  await takeEmergencies(unit);
  const { target, holders, expires_in: seconds } = row.action.parameters;
  const [first, second] = asHolders(holders);
  const now = await unit.readClock();
  const ask = { holders: [first, second] satisfies [string, string], expiresIn: Number(seconds) };
  const refusal = await whyNoKit(unit, row.routes, ask);
  if (refusal) return refusal;
  const kit = {
    id: newId('glassKit'),
    request: row.id,
    role: row.action.resource.id,
    target: typeof target === 'string' ? target : '',
    gates: row.routes.map(({ name }) => name),
    reviewers: [...new Set(row.routes.flatMap(({ rule }) => rule.groups))],
    state: 'waiting' as const,
    seats: [emptySeat(first), emptySeat(second)] satisfies [KitSeat, KitSeat],
    createdAt: now,
    expiresAt: addSeconds(now, ask.expiresIn),
  };
  await unit.sql.insert(glassKit).values(kit);
  unit.emit('emergency.kit_approved', {
    ...aboutRequest(row),
    subject: kit.id,
    posture: { risk: 'critical' },
    detail: {
      kit: kit.id,
      target: kit.target,
      gates: kit.gates,
      people: [first, second],
      permit,
      expires_at: kit.expiresAt,
    },
    private: {},
  });
  unit.wake('target', targetWorkflow(kit.target));
  unit.changed(kit.id);
  return null;
}

/** Written by `askForKit`, and approved by its digest since. */
const asHolders = (holders: unknown): [Id<'person'>, Id<'person'>] =>
  holders as [Id<'person'>, Id<'person'>];

const emptySeat = (holder: Id<'person'>): KitSeat => ({
  person: holder,
  key: null,
  thumbprint: null,
  share: null,
  collected_at: null,
});

/** The two who hold its halves. */
export const holdersOf = ({ seats: [first, second] }: GlassKitRow): Id<'person'>[] => [
  first.person,
  second.person,
];

/** What every event about a kit carries. */
export const aboutKit = (kit: GlassKitRow) => ({
  subject: kit.id,
  request: kit.request,
  posture: { risk: 'critical' },
});

/** A kit, locked until the transaction ends. */
export async function lockKit(unit: Unit, id: string): Promise<GlassKitRow> {
  const [row] = await unit.sql
    .select()
    .from(glassKit)
    .where(eq(glassKit.id, asKitId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such kit.');
  return row;
}

interface HeldSeat {
  kit: GlassKitRow;
  seat: KitSeat;
  at: 0 | 1;
}

/** The half of whoever calls, who has to be there in person. */
async function ownSeat(unit: Unit, who: PersonPrincipal, id: string): Promise<HeldSeat> {
  const no = (code: RefusalCode, says: string): Refusal => new Refusal(code, says);
  const kit = await lockKit(unit, id);
  await unit.readClock();
  const [first, second] = kit.seats;
  const at = first.person === who.id ? 0 : second.person === who.id ? 1 : null;
  if (at === null) throw no('forbidden', 'Neither half of this kit is yours.');
  if (!isStrongEnough(who.strength, 'fresh'))
    throw no('stronger_auth_required', 'Sign in again first: this takes a fresh session.');
  return { kit, seat: at === 0 ? first : second, at };
}

const withSeat = (
  { seats: [first, second] }: GlassKitRow,
  at: 0 | 1,
  change: Partial<KitSeat>,
): [KitSeat, KitSeat] =>
  at === 0 ? [{ ...first, ...change }, second] : [first, { ...second, ...change }];

/** Takes the key that a holder's half is sealed to. Only its holder brings it, so that nobody else can open it. */
export async function bringKey(
  unit: Unit,
  who: PersonPrincipal,
  id: string,
  key: PublicKey,
): Promise<GlassKitRow> {
  const { kit, at } = await ownSeat(unit, who, id);
  if (kit.state !== 'waiting')
    throw new Refusal(
      'wrong_state',
      `This kit is ${kit.state}: keys are brought before it is made.`,
    );
  if (kit.seats[at === 0 ? 1 : 0].thumbprint === key.thumbprint)
    throw new Refusal(
      'seal_key_invalid',
      'The other holder brought this very key: each half is sealed to a key of its own.',
    );
  const seats = withSeat(kit, at, { key: { ...key.jwk }, thumbprint: key.thumbprint });
  await unit.sql.update(glassKit).set({ seats }).where(eq(glassKit.id, kit.id));
  unit.emit('emergency.kit_keyed', {
    ...aboutKit(kit),
    detail: { kit: kit.id, person: who.id, thumbprint: key.thumbprint },
    private: {},
  });
  unit.wake('target', targetWorkflow(kit.target));
  unit.changed(kit.id);
  return { ...kit, seats };
}

/** Hands a holder their own half, once, and keeps nothing of it. */
export async function collectShare(
  unit: Unit,
  who: PersonPrincipal,
  id: string,
): Promise<{ kit: GlassKitRow; seat: 1 | 2; sealed: string }> {
  const { kit, seat, at } = await ownSeat(unit, who, id);
  if (seat.collected_at !== null)
    throw new Refusal('already_collected', 'You have collected your half of this kit already.');
  if (kit.state !== 'ready' || seat.share === null)
    throw new Refusal(
      'wrong_state',
      `This kit is ${kit.state}: a half is collected once the login was made, and before it ends.`,
    );
  if (!(unit.at < kit.expiresAt)) throw new Refusal('wrong_state', 'This kit has ended.');
  const agreed = await findRequest(unit.sql, kit.request);
  if (!agreed || !(await areHoldersFit(unit.sql, holdersOf(kit), agreed.routes)))
    throw new Refusal('not_eligible', 'One of its holders may hold no half any more.');
  const seats = withSeat(kit, at, { share: null, collected_at: unit.at });
  await unit.sql.update(glassKit).set({ seats }).where(eq(glassKit.id, kit.id));
  const number = at === 0 ? 1 : 2;
  unit.emit('emergency.share_collected', {
    ...aboutKit(kit),
    detail: { kit: kit.id, person: who.id, seat: number },
    private: {},
  });
  unit.changed(kit.id);
  return { kit: { ...kit, seats }, seat: number, sealed: seat.share };
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asKitId = (id: string): Id<'glassKit'> => id as Id<'glassKit'>;

export async function findKit(query: Query | Transaction, id: string): Promise<GlassKitRow | null> {
  const [row] = await query
    .select()
    .from(glassKit)
    .where(eq(glassKit.id, asKitId(id)));
  return row ?? null;
}

export const listKits = (
  query: Query,
  { isLive, after, limit }: { isLive: boolean; after: string | null; limit: number },
): Promise<GlassKitRow[]> =>
  query
    .select()
    .from(glassKit)
    .where(
      and(
        after === null ? undefined : gt(glassKit.id, asKitId(after)),
        isLive ? ne(glassKit.state, 'ended') : undefined,
      ),
    )
    .orderBy(asc(glassKit.id))
    .limit(limit);

/** The newest ones, for people. */
export const newestKits = (query: Query, limit: number): Promise<GlassKitRow[]> =>
  query.select().from(glassKit).orderBy(desc(glassKit.id)).limit(limit);

/** Kits of a target that are not over. */
export const kitsAt = (query: Query | Transaction, target: string): Promise<GlassKitRow[]> =>
  query
    .select()
    .from(glassKit)
    .where(and(eq(glassKit.target, target), ne(glassKit.state, 'ended')))
    .orderBy(glassKit.id);
