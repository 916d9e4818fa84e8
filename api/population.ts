// The population that an auditor starts from.
import { z } from 'zod';
import { readPopulation } from '../commands/agents/population.ts';
import { databaseTime } from '../commands/unit.ts';
import type { PopulationMember } from '../domain/population.ts';
import { toCsv } from './csv.ts';
import { recordReading } from './reviews.ts';
import { defineRoute, ok } from './route.ts';

const nullable = z.string().nullable();

/** @public Compared with the SDK’s own type. */
export const member = z
  .object({
    source: z.enum(['registered', 'discovered', 'stored']),
    id: z.string(),
    name: z.string(),
    kind: z.string(),
    state: z.string(),
    target: nullable,
    owner: nullable,
    owner_name: nullable,
    owner_by: z.enum(['registration', 'guess']).nullable(),
    agent: nullable,
    risks: z.string().meta({ description: 'With a space between them' }),
    around: z.string().meta({ description: 'Controls, with a space between them' }),
    keys: z.int(),
    credentials: z.int(),
    expires_at: nullable,
    last_used_at: nullable,
    since: z.string(),
  })
  .meta({ id: 'PopulationMember' });

const COLUMNS = Object.keys(member.shape) as (keyof PopulationMember)[];

const report = defineRoute({
  method: 'get',
  path: '/v1/reports/population',
  tag: 'Discovery',
  summary:
    'Agents, identities found in targets and stored secrets, in one list. As JSON, or CSV with ?format=csv',
  allow: ['auditor'],
  query: z.strictObject({ format: z.enum(['json', 'csv']).default('json') }),
  answers: {
    200: {
      description: 'One line for each',
      schema: z.object({ generated_at: z.string(), data: z.array(member) }),
      otherType: 'text/csv',
    },
  },
  refusals: [],
  events: [],
  handle: async ({ principal, call, query }, deps) => {
    const now = await databaseTime(deps.db.query);
    const members = await readPopulation(deps.db.query, now);
    await recordReading(deps, call, principal, 'population');
    if (query.format === 'json')
      return ok({ generated_at: now, data: members.map((each) => ({ ...each })) });
    return new Response(toCsv(COLUMNS, members), {
      headers: {
        'content-type': 'text/csv; charset=utf-8',
        'content-disposition': `attachment; filename="population-${now.slice(0, 10)}.csv"`,
      },
    });
  },
});

export const populationRoutes = [report];
