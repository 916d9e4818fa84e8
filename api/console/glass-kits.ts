// The forms about logins that lie ready for when we are down.
import { askForKit, bringKey, collectShare } from '../../commands/exceptions/glass-kits.ts';
import { endKit, recordKitCheck } from '../../commands/exceptions/kit-care.ts';
import { lookAtKit } from '../../commands/exceptions/kit-check.ts';
import { answerOnce } from '../../commands/once.ts';
import { refuseWithoutLog } from '../../commands/record/log-health.ts';
import { transact } from '../../commands/unit.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey } from '../../keys/public-key.ts';
import { SharePage } from '../../web/glass-kits.tsx';
import { keyBody, kitBody } from '../glass-kits.ts';
import { asJsonObject } from '../json-body.ts';
import { accepted } from '../route.ts';
import { jwkFrom, showEmergencies } from './break-glass.ts';
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
import { asMade, attempt, parseFields } from './forms.ts';

const DAY = 86_400;

const prepare: ConsoleRoute = {
  method: 'post',
  path: '/break-glass/kits',
  sameAs: 'post /v1/break-glass/kits',
  who: 'member',
  handle: async (visit, deps) => {
    const answer = await attempt(async () => {
      const body = parseFields(kitBody, {
        target: field(visit, 'target'),
        role: field(visit, 'role'),
        holders: [field(visit, 'first'), field(visit, 'second')],
        expires_in: Number(field(visit, 'days')) * DAY,
        reason: field(visit, 'reason'),
      });
      const { target, role, holders, expires_in: expiresIn, reason } = body;
      return answerOnce(deps, visit.call, onceOf(visit), async (unit) => {
        await refuseWithoutLog(unit.sql);
        const asked = await askForKit(unit, deps, { target, role, holders, expiresIn, reason });
        return asked instanceof Refusal ? asked : accepted({ id: asked.id });
      });
    });
    if (answer instanceof Refusal) return showEmergencies(visit, deps, answer);
    return redirect(`/requests/${asMade(answer.body).id}`);
  },
};

/** A form about one kit, back on the page when it is done. */
const about = (
  step: 'key' | 'check' | 'end',
  work: (visit: Visit, deps: ConsoleDeps, id: string) => Promise<unknown>,
): ConsoleRoute => ({
  method: 'post',
  path: `/break-glass/kits/{id}/${step}`,
  sameAs: `post /v1/break-glass/kits/{id}/${step}`,
  who: 'member',
  handle: async (visit, deps) => {
    const done = await attempt(() => work(visit, deps, visit.params['id'] ?? ''));
    return done instanceof Refusal ? showEmergencies(visit, deps, done) : redirect('/break-glass');
  },
});

const key = about('key', async (visit, deps, id) => {
  const body = parseFields(keyBody, { seal_to: jwkFrom(field(visit, 'seal_to')) });
  const sealTo = await readPublicKey(asJsonObject(body.seal_to), 'seal_key_invalid');
  return transact(deps, visit.call, (unit) => bringKey(unit, reader(visit), id, sealTo));
});

const check = about('check', async (visit, deps, id) => {
  const found = await lookAtKit(deps, id);
  return transact(deps, visit.call, (unit) => recordKitCheck(unit, id, found));
});

const end = about('end', (visit, deps, id) =>
  transact(deps, visit.call, (unit) => endKit(unit, reader(visit), id)),
);

const share: ConsoleRoute = {
  method: 'post',
  path: '/break-glass/kits/{id}/share',
  sameAs: 'post /v1/break-glass/kits/{id}/share',
  who: 'member',
  handle: async (visit, deps) => {
    const half = await attempt(() =>
      transact(deps, visit.call, (unit) =>
        collectShare(unit, reader(visit), visit.params['id'] ?? ''),
      ),
    );
    if (half instanceof Refusal) return showEmergencies(visit, deps, half);
    const { kit, seat, sealed } = half;
    return page(SharePage({ shell: visit.shell, kit: kit.id, seat, sealed }));
  },
};

export const glassKitPages = [prepare, key, share, check, end];
