// Controls and their verdicts.
import { readActiveBundle } from '../../commands/policy/policies.ts';
import { mayAudit } from '../../commands/principal.ts';
import { newestCheckpoint } from '../../commands/record/log.ts';
import { controlsOf, readVerdict } from '../../commands/record/verdicts.ts';
import { Refusal } from '../../domain/refusal.ts';
import { AttentionPage } from '../../web/attention.tsx';
import { ControlsPage, VerdictPage, type ControlLine } from '../../web/controls.tsx';
import { attentionFor } from '../attention.ts';
import { canonical, knownControl } from '../controls.ts';
import { recordReading } from '../reviews.ts';
import * as shape from '../schemas.ts';
import { page, reader, type ConsoleDeps, type ConsoleRoute } from './console.ts';
import { attempt, parseFields } from './forms.ts';

/** Each verdict reads the log: above this size the list leaves them to the page of each control. */
const JUDGED_AT_ONCE = 50_000;

const list: ConsoleRoute = {
  method: 'get',
  path: '/controls',
  who: 'person',
  handle: async (visit, deps) => {
    const bundle = await readActiveBundle(deps.db.query, deps.policies);
    const head = await newestCheckpoint(deps.db.query);
    const audits = mayAudit(reader(visit));
    const judges = audits && (head?.size ?? 0) <= JUDGED_AT_ONCE;
    const rows: ControlLine[] = [];
    for (const { id, route, title } of controlsOf(bundle))
      rows.push({ id, route, title, verdict: judges ? await verdictNow(deps, id) : null });
    return page(ControlsPage({ shell: visit.shell, rows, audits }));
  },
};

/** Null while the log is still empty. */
async function verdictNow(deps: ConsoleDeps, control: string): Promise<ControlLine['verdict']> {
  const asked = { control, from: null, to: null, size: null };
  const found = await attempt(() => readVerdict(deps.db.query, asked));
  return found instanceof Refusal ? null : found;
}

const show: ConsoleRoute = {
  method: 'get',
  path: '/controls/{id}',
  who: 'auditor',
  handle: async ({ shell, params, query }, deps) => {
    const control = await knownControl(deps, params['id'] ?? '');
    const asked = { from: query.get('from') ?? '', to: query.get('to') ?? '' };
    const period = parseFields(shape.periodQuery, {
      ...(asked.from !== '' && { from: asked.from }),
      ...(asked.to !== '' && { to: asked.to }),
    });
    const verdict = await readVerdict(deps.db.query, {
      control,
      from: canonical(period.from),
      to: canonical(period.to),
      size: null,
    });
    const bundle = await readActiveBundle(deps.db.query, deps.policies);
    const title = controlsOf(bundle).find(({ id }) => id === control)?.title ?? control;
    return page(VerdictPage({ shell, title, verdict, asked }));
  },
};

const attention: ConsoleRoute = {
  method: 'get',
  path: '/attention',
  who: 'auditor',
  handle: async (visit, deps) => {
    const report = await attentionFor(deps, reader(visit), { from: null, to: null });
    await recordReading(deps, visit.call, reader(visit), 'attention');
    return page(AttentionPage({ shell: visit.shell, report }));
  },
};

export const controlPages = [list, show, attention];
