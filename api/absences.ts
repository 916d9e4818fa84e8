// Absences: who votes in the stead of whom, and until when.
import { z } from 'zod';
import { answerOnce } from '../commands/once.ts';
import { absencesOf, comeBack, goAway } from '../commands/people/absences.ts';
import { knownPerson } from '../commands/people/people.ts';
import type { AbsenceRow } from '../db/rows.ts';
import type { JsonObject } from '../domain/json.ts';
import { created, defineRoute, ok } from './route.ts';
import * as shape from './schemas.ts';

/** An absence as callers see it. */
const absenceShape = z
  .object({
    id: z.string(),
    person: z.string(),
    stand_in: z.string(),
    starts_at: shape.instant,
    ends_at: shape.instant,
    withdrawn_at: shape.instant.nullable(),
  })
  .meta({ id: 'Absence' });

const present = (row: AbsenceRow): JsonObject => ({
  id: row.id,
  person: row.person,
  stand_in: row.standIn,
  starts_at: row.startsAt,
  ends_at: row.endsAt,
  withdrawn_at: row.withdrawnAt,
});

const away = defineRoute({
  method: 'post',
  path: '/v1/people/{id}/absences',
  tag: 'People',
  summary: 'Say who votes in your stead while you are away; an administrator can say it for you',
  description:
    'The stand-in votes by the rights of whoever is away, if neither of them is barred, and both count as one human: whoever votes first has voted. Absences are not handed on.',
  allow: ['member', 'service'],
  body: z.strictObject({
    stand_in: z.string().max(100),
    starts_at: z.iso.datetime({ offset: true }).optional(),
    ends_at: z.iso.datetime({ offset: true }),
  }),
  answers: { 201: { description: 'The absence', schema: absenceShape } },
  refusals: ['not_found', 'forbidden', 'stronger_auth_required', 'person_unknown', 'wrong_state'],
  events: ['person.away'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      created(
        present(
          await goAway(unit, params['id'] ?? '', {
            standIn: body.stand_in,
            startsAt: body.starts_at ?? null,
            endsAt: body.ends_at,
          }),
        ),
      ),
    ),
});

const list = defineRoute({
  method: 'get',
  path: '/v1/people/{id}/absences',
  tag: 'People',
  summary: 'Who votes or voted in the stead of a person, the latest first',
  allow: ['person', 'service'],
  answers: {
    200: { description: 'Their absences', schema: z.object({ data: z.array(absenceShape) }) },
  },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const { id } = await knownPerson(deps.db.query, params['id'] ?? '');
    const rows = await absencesOf(deps.db.query, id);
    return ok({ data: rows.map(present) });
  },
});

const back = defineRoute({
  method: 'delete',
  path: '/v1/people/{id}/absences/{absence}',
  tag: 'People',
  summary: 'Take an absence back; votes under it on what is not decided yet count no more',
  allow: ['member', 'service'],
  answers: { 200: { description: 'The absence as it was', schema: absenceShape } },
  refusals: ['not_found', 'forbidden', 'stronger_auth_required'],
  events: ['person.back'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      ok(present(await comeBack(unit, params['id'] ?? '', params['absence'] ?? ''))),
    ),
});

export const absenceRoutes = [away, list, back];
