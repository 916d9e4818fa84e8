// The page that stops much at once, and its forms.
import { and, asc, desc, eq } from 'drizzle-orm';
import { askToLift, throwKillSwitch } from '../../commands/agents/kill.ts';
import { liveStop } from '../../commands/agents/stop.ts';
import { FORCE_CLOSE_ATTEMPTS, forceCloseLease } from '../../commands/credentials/lease-ends.ts';
import { progressOf } from '../../commands/credentials/revocations.ts';
import { isAdmin } from '../../commands/principal.ts';
import { transact } from '../../commands/unit.ts';
import { credential, revocation, targetSweep } from '../../db/schema/index.ts';
import { isId } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import { StoppingPage, type OrderLine } from '../../web/stopping.tsx';
import { refuseUnconfirmed } from '../revocations.ts';
import * as shape from '../schemas.ts';
import * as stopping from '../stopping-schemas.ts';
import { visibleCredential } from '../tasks.ts';
import { credentialLine } from './agent-view.ts';
import {
  field,
  pageAfter,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { attempt, parseFields, saidBy, typed } from './forms.ts';
import { personNames } from './names.ts';

/** Rows of each list; the API has the rest. */
const SHOWN = 50;

const show: ConsoleRoute = {
  method: 'get',
  path: '/stopping',
  who: 'auditor',
  handle: (visit, deps) => showStopping(visit, deps, null),
};

async function showStopping(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const { query } = deps.db;
  const live = await liveStop(query);
  const by = live?.orderedBy.id ?? '';
  const name = await personNames(query, isId('person', by) ? [by] : []);
  const failing = await query
    .select()
    .from(credential)
    .where(eq(credential.state, 'revoke_failed'))
    .orderBy(asc(credential.nextTryAt))
    .limit(SHOWN);
  const forced = await query
    .select()
    .from(credential)
    .where(and(eq(credential.state, 'force_closed'), eq(credential.seenGone, false)))
    .orderBy(desc(credential.endedAt))
    .limit(SHOWN);
  const view = {
    stop: live && {
      id: live.id,
      reason: live.reason,
      createdAt: live.createdAt,
      by: name(by),
    },
    failing: failing.map(credentialLine),
    forced: forced.map(credentialLine),
    orders: await newestOrders(deps),
    sweeps: await query.select().from(targetSweep).orderBy(targetSweep.target),
    values: typed(visit),
    attempts: FORCE_CLOSE_ATTEMPTS,
    isAdmin: isAdmin(reader(visit)),
  };
  return pageAfter(
    StoppingPage({ shell: visit.shell, view, said: refusal && saidBy(refusal) }),
    refusal,
  );
}

async function newestOrders({ db }: ConsoleDeps): Promise<OrderLine[]> {
  const rows = await db.query.select().from(revocation).orderBy(desc(revocation.id)).limit(SHOWN);
  return Promise.all(
    rows.map(async (row) => {
      const { alive, failing, notSeenGone } = await progressOf(db.query, row.id);
      const { id, by, of, because, reason, createdAt, credentials, doneAt } = row;
      const order = { id, by, of, because, reason, createdAt, credentials, doneAt };
      return { ...order, alive, failing, notSeenGone };
    }),
  );
}

const kill: ConsoleRoute = {
  method: 'post',
  path: '/stopping/kill',
  sameAs: 'post /v1/kill',
  who: 'admin',
  handle: async (visit, deps) => {
    const done = await attempt(() => {
      const scope = field(visit, 'scope');
      const order = parseFields(stopping.killBody, {
        scope,
        reason: field(visit, 'reason'),
        confirm: field(visit, 'confirm'),
        ...(scope !== 'everything' && { id: field(visit, 'id') }),
      });
      refuseUnconfirmed(order.scope, order.confirm);
      const of = order.scope === 'everything' ? null : order.id;
      return transact(deps, visit.call, (unit) =>
        throwKillSwitch(unit, { scope: order.scope, of, reason: order.reason }),
      );
    });
    return done instanceof Refusal ? showStopping(visit, deps, done) : redirect('/stopping');
  },
};

const lift: ConsoleRoute = {
  method: 'post',
  path: '/stopping/lift',
  sameAs: 'post /v1/kill/lift',
  who: 'admin',
  handle: async (visit, deps) => {
    const done = await attempt(() => {
      const { reason } = parseFields(shape.failBody, { reason: field(visit, 'reason') });
      return transact(deps, visit.call, (unit) => askToLift(unit, deps, reason));
    });
    if (done instanceof Refusal) return showStopping(visit, deps, done);
    return redirect('request' in done ? `/requests/${done.request.id}` : '/stopping');
  },
};

const forceClose: ConsoleRoute = {
  method: 'post',
  path: '/credentials/{id}/force-close',
  sameAs: 'post /v1/credentials/{id}/force-close',
  who: 'admin',
  handle: async (visit, deps) => {
    const lease = await visibleCredential(deps, visit.person, visit.params['id']);
    const done = await attempt(() => {
      const { reason } = parseFields(shape.failBody, { reason: field(visit, 'reason') });
      return transact(deps, visit.call, (unit) => forceCloseLease(unit, lease.id, reason));
    });
    if (done instanceof Refusal) return showStopping(visit, deps, done);
    return redirect(`/tasks/${lease.task}`);
  },
};

export const stoppingPages = [show, kill, lift, forceClose];
