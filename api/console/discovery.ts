// Discovery on the console.
import {
  lookForIdentities,
  NOT_SUPPORTED,
  readTargetLooks,
  type TargetLooked,
} from '../../commands/agents/discovery.ts';
import {
  adoptIdentity,
  findFound,
  ignoreIdentity,
  isOurs,
  readFound,
  type FoundRead,
} from '../../commands/agents/found-identities.ts';
import { recordLooks } from '../../commands/agents/record-look.ts';
import { answerOnce } from '../../commands/once.ts';
import { isAdmin } from '../../commands/principal.ts';
import { transact } from '../../commands/unit.ts';
import { AGENT_KINDS } from '../../db/schema/index.ts';
import { agentNameFor } from '../../domain/found-identity.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey } from '../../keys/public-key.ts';
import { DiscoveryPage, FILTER_NAMES, type TargetView } from '../../web/discovery.tsx';
import { FoundPage, type FoundView } from '../../web/found-identity.tsx';
import { invalid } from '../body.ts';
import { pageOf, readCursor } from '../cursor.ts';
import { adoptBody } from '../discovery.ts';
import { recordReading } from '../reviews.ts';
import { created, ok } from '../route.ts';
import * as shape from '../schemas.ts';
import { activePeople } from './agent-view.ts';
import { keyFrom } from './agents.ts';
import {
  field,
  onceOf,
  pageAfter,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { asMade, attempt, newOnce, parseFields, saidBy, typed } from './forms.ts';

const LIST = 'found';
const PAGE_SIZE = 100;

const viewOf = ({ row, guessedName, agentName }: FoundRead): FoundView => ({
  id: row.id,
  target: row.target,
  name: row.name,
  state: row.state,
  risks: row.risks,
  around: row.around,
  kind: row.kind,
  groups: row.facts.groups,
  permissions: row.facts.permissions,
  usableBy: row.facts.usableBy,
  isEnabled: row.facts.isEnabled,
  isOurs: isOurs(row),
  createdAt: row.facts.createdAt,
  secretChangedAt: row.facts.secretChangedAt,
  unknown: row.facts.unknown,
  difference: { kind: row.difference, at: row.differentAt, changes: row.changes },
  serves: row.facts.serves,
  expiresAt: row.facts.expiresAt,
  comment: row.facts.comment,
  firstSeenAt: row.firstSeenAt,
  lastSeenAt: row.lastSeenAt,
  usedAt: row.usedAt,
  guess:
    row.guessedOwner && row.guessedBecause
      ? {
          person: row.guessedOwner,
          name: guessedName ?? row.guessedOwner,
          because: row.guessedBecause,
        }
      : null,
  agent: row.agent && { id: row.agent, name: agentName ?? row.agent },
  decidedAt: row.decidedAt,
  reason: row.reason,
});

async function showAll(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const after = readCursor(deps.keys.cursors, LIST, visit.query.get('cursor') ?? undefined);
  const filter = FILTER_NAMES.find((each) => each === visit.query.get('show')) ?? 'all';
  const wanted = {
    isDifferent: filter === 'different',
    ...(filter === 'unmanaged' && { state: filter }),
  };
  const reads = await readFound(deps.db.query, wanted, after, PAGE_SIZE + 1);
  const found = pageOf(reads, PAGE_SIZE, ({ row }) => row.id, deps.keys.cursors, LIST);
  await recordReading(deps, visit.call, reader(visit), 'discovery');
  return pageAfter(
    DiscoveryPage({
      shell: visit.shell,
      targets: (await readTargetLooks(deps)).map(targetView),
      rows: found.rows.map(viewOf),
      filter,
      next: found.next === null ? null : `/discovery?show=${filter}&cursor=${found.next}`,
      said: refusal && saidBy(refusal),
      once: newOnce(),
      isAdmin: isAdmin(reader(visit)),
    }),
    refusal,
  );
}

const targetView = ({ target, row, nextAt, isSupported }: TargetLooked): TargetView => ({
  target,
  isSupported,
  nextAt,
  askedAt: row?.askedAt ?? null,
  code: row?.code ?? null,
  answeredAt: row?.answeredAt ?? null,
  identities: row?.identities ?? 0,
  found: row?.found ?? 0,
  changed: row?.changed ?? 0,
  gone: row?.gone ?? 0,
  leftOut: row?.leftOut ?? 0,
  gaps: row?.gaps ?? [],
});

async function showOne(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const read = await findFound(deps.db.query, visit.params['id'] ?? '');
  if (!read) throw new Refusal('not_found', 'There is no such identity.');
  const adopt = isAdmin(reader(visit))
    ? {
        people: await activePeople(deps.db.query),
        kinds: AGENT_KINDS.filter((kind) => kind !== 'demo'),
        values: typed(visit),
        once: newOnce(),
      }
    : null;
  return pageAfter(
    FoundPage({
      shell: visit.shell,
      found: viewOf(read),
      said: refusal && saidBy(refusal),
      adopt,
    }),
    refusal,
  );
}

const list: ConsoleRoute = {
  method: 'get',
  path: '/discovery',
  who: 'auditor',
  handle: (visit, deps) => showAll(visit, deps, null),
};

const look: ConsoleRoute = {
  method: 'post',
  path: '/discovery',
  sameAs: 'post /v1/discovery',
  who: 'admin',
  handle: async (visit, deps) => {
    const looks = await lookForIdentities(deps, visit.call, null);
    const silent = looks.filter(({ code }) => code !== null && code !== NOT_SUPPORTED);
    const answer = await attempt(() =>
      answerOnce(deps, visit.call, onceOf(visit), async (unit) => {
        await recordLooks(unit, looks);
        return ok({});
      }),
    );
    if (answer instanceof Refusal) return showAll(visit, deps, answer);
    if (silent.length === 0) return redirect('/discovery');
    const names = silent.map(({ target, code }) => `${target} (${code ?? ''})`).join(', ');
    const says = `These targets said nothing, and what is known of them is as it was: ${names}.`;
    return showAll(visit, deps, new Refusal('target_unavailable', says));
  },
};

const show: ConsoleRoute = {
  method: 'get',
  path: '/discovery/{id}',
  who: 'auditor',
  handle: (visit, deps) => showOne(visit, deps, null),
};

const adopt: ConsoleRoute = {
  method: 'post',
  path: '/discovery/{id}/adopt',
  sameAs: 'post /v1/discovery/{id}/adopt',
  who: 'admin',
  handle: async (visit, deps) => {
    const id = visit.params['id'] ?? '';
    const answer = await attempt(async () => {
      const read = await findFound(deps.db.query, id);
      if (!read) throw new Refusal('not_found', 'There is no such identity.');
      const key = keyFrom(visit);
      const name = field(visit, 'name') || agentNameFor(read.row.name);
      if (name === null) throw invalid('Say a name: that of the identity makes none for an agent.');
      const body = parseFields(adoptBody, {
        name,
        kind: field(visit, 'kind'),
        owner: field(visit, 'owner'),
        team: field(visit, 'team'),
        purpose: field(visit, 'purpose'),
        keys: [key],
      });
      const keys = [await readPublicKey(key, 'weak_key')];
      return answerOnce(deps, visit.call, onceOf(visit), async (unit) => {
        const made = await adoptIdentity(unit, deps, id, { ...body, name, keys }, null);
        return made instanceof Refusal ? made : created({ id: made.agent.id });
      });
    });
    if (answer instanceof Refusal) return showOne(visit, deps, answer);
    return redirect(`/agents/${asMade(answer.body).id}`);
  },
};

const ignore: ConsoleRoute = {
  method: 'post',
  path: '/discovery/{id}/ignore',
  sameAs: 'post /v1/discovery/{id}/ignore',
  who: 'admin',
  handle: async (visit, deps) => {
    const id = visit.params['id'] ?? '';
    const done = await attempt(async () => {
      const { reason } = parseFields(shape.failBody, { reason: field(visit, 'reason') });
      return transact(deps, visit.call, (unit) => ignoreIdentity(unit, id, reason));
    });
    return done instanceof Refusal ? showOne(visit, deps, done) : redirect(`/discovery/${id}`);
  },
};

export const discoveryPages = [list, look, show, adopt, ignore];
