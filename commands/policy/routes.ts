// routes.yaml: who decides, how many, in which order and how soon. What it leaves out is not in the rule either, so that
// a route from before stays the one that people agreed to.
import { z } from 'zod';
import { CHANNELS, STRENGTHS, type RouteRule } from '../../domain/approval.ts';
import { permitFacts } from '../../domain/permit-rule.ts';
import { ASK_DEFAULT } from '../../domain/question.ts';
import { onCallGroup, RESOURCE_OWNER, type SeatRule, type StageRule } from '../../domain/seats.ts';
import { policyName, seconds } from '../access/kind.ts';

const groupName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'lower-case letters, digits, _ . -');
const DAY = 86_400;
const QUORUM_MAX = 10;
const title = z.string().min(1).max(100);
const count = z.number().int().min(1).max(QUORUM_MAX);

/** A name that a quorum counts people of: a group, or what the duties beside the groups are called. */
const seatName = z
  .string()
  .regex(
    /^(?:[a-z0-9][a-z0-9_.-]{0,62}|on-call:[a-z0-9][a-z0-9_.-]{0,62}|resource:owner)$/,
    'a group, on-call:<source> or resource:owner',
  );

const askedSchema = {
  groups: z.array(groupName).max(20).optional(),
  on_call: z.array(policyName).max(5).optional(),
  resource_owner: z.boolean().optional(),
};

const quorumSchema = z.union([count, z.record(seatName, count)], {
  error: `a number from 1 to ${QUORUM_MAX}, or such a number for each group`,
});

const stageSchema = z.strictObject({
  ...askedSchema,
  title: title.optional(),
  quorum: quorumSchema.default(1),
});

const routeSchema = z
  .strictObject({
    ...askedSchema,
    title,
    quorum: quorumSchema.optional(),
    stages: z.array(stageSchema).min(1).max(5).optional(),
    same_person: z.enum(['barred', 'allowed']).default('barred'),
    expiry_seconds: seconds(30 * DAY).default(DAY),
    valid_seconds: seconds(7 * DAY).default(900),
    strength: z.enum(STRENGTHS).default('session'),
    /** More proof for what a rule with this @risk holds. */
    strength_by_risk: z
      .record(policyName, z.enum(STRENGTHS))
      .refine((byRisk) => Object.keys(byRisk).length <= 10, 'at most 10 risks')
      .optional(),
    channels: z
      .array(z.enum(CHANNELS))
      .min(1)
      .default([...CHANNELS]),
    independence: z
      .strictObject({
        owner: z.enum(['barred', 'allowed']).default('barred'),
        triggerer: z.enum(['barred', 'allowed']).default('barred'),
      })
      .prefault({}),
    remind_at: z.array(z.number().gt(0).lt(1)).max(5).default([]),
    attention_budget: z
      .strictObject({ per_approver_per_day: z.number().int().min(1).max(1_000) })
      .optional(),
    escalation: z
      .array(
        z.strictObject({
          after_seconds: seconds(30 * DAY),
          groups: z.array(groupName).optional(),
          on_call: z.array(policyName).max(5).optional(),
          for: seatName.optional(),
        }),
      )
      .max(5)
      .default([]),
    standing: z
      .strictObject({
        max_seconds: seconds(90 * DAY),
        max_uses: z.number().int().min(1).max(1_000),
      })
      .optional(),
    break_glass: z
      .strictObject({
        groups: z.array(groupName).min(1).max(20),
        // Nobody breaks the glass alone.
        quorum: z.number().int().min(2).max(5).default(2),
        max_seconds: seconds(DAY).default(3600),
        cooldown_seconds: z
          .number()
          .int()
          .min(0)
          .max(30 * DAY)
          .default(0),
        offline: z.strictObject({ max_days: z.number().int().min(1).max(90) }).optional(),
      })
      .optional(),
    uses: z.number().int().min(1).max(1000).optional(),
    receipt_within_seconds: seconds(DAY).optional(),
    slack: z
      .strictObject({
        channels: z
          .array(z.string().regex(/^[A-Z0-9]{2,30}$/, 'the id of a channel, such as C012AB3CD'))
          .max(5)
          .default([]),
        approvers: z.boolean().default(false),
      })
      .optional(),
    webhooks: z.array(policyName).min(1).max(5).optional(),
    email: z.strictObject({ approvers: z.literal(true) }).optional(),
    ask: z
      .strictObject({
        clock: z.enum(['runs', 'stops']).default(ASK_DEFAULT.clock),
        answer_within_seconds: seconds(7 * DAY).default(ASK_DEFAULT.answer_within_seconds),
      })
      .optional(),
  })
  .superRefine((route, context) => {
    const complain = (message: string, ...path: (string | number)[]): void =>
      context.addIssue({ code: 'custom', message, path });
    if (route.stages) {
      for (const each of ['groups', 'on_call', 'resource_owner', 'quorum'] as const)
        if (route[each] !== undefined)
          complain('a route with stages says this in each of them', each);
      route.stages.forEach((stage, at) => checkAsked(stage, complain, 'stages', at));
    } else {
      checkAsked({ ...route, quorum: route.quorum ?? 1 }, complain);
      if (route.same_person === 'allowed')
        complain('only a route with stages can let one person fill two of them', 'same_person');
    }
    checkEscalation(route, complain);
  });

type Route = z.infer<typeof routeSchema>;
type Asked = Pick<z.infer<typeof stageSchema>, keyof typeof askedSchema | 'quorum'>;
type Complain = (message: string, ...path: (string | number)[]) => void;

/** Every group that is asked: of people, on call, or owning what is asked for. */
const groupsOf = ({ groups = [], on_call = [], resource_owner = false }: Omit<Asked, 'quorum'>) => [
  ...groups,
  ...on_call.map(onCallGroup),
  ...(resource_owner ? [RESOURCE_OWNER] : []),
];

function checkAsked(asked: Asked, complain: Complain, ...path: (string | number)[]): void {
  const groups = groupsOf(asked);
  if (groups.length === 0)
    complain('asks nobody: name groups, on_call or resource_owner', ...path, 'groups');
  if (typeof asked.quorum === 'number') return;
  const seats = Object.entries(asked.quorum);
  for (const [group] of seats)
    if (!groups.includes(group))
      complain(
        `"${group}" is not asked here; there are: ${groups.join(', ')}`,
        ...path,
        'quorum',
        group,
      );
  for (const group of groups)
    if (!seats.some(([each]) => each === group))
      complain(`"${group}" is asked and has no seat: say how many of it`, ...path, 'quorum');
  if (seats.reduce((sum, [, number]) => sum + number, 0) > QUORUM_MAX)
    complain(`at most ${QUORUM_MAX} people in all`, ...path, 'quorum');
}

/** Where groups have seats of their own, whoever joins has to be told which. */
function checkEscalation(route: Route, complain: Complain): void {
  const stages = (route.stages ?? [{ ...route, quorum: route.quorum ?? 1 }]).map(stageOf);
  const isPlain = route.stages === undefined && stages.every(({ seats }) => seats === undefined);
  const asked = [...new Set(stages.flatMap(({ groups }) => groups))];
  route.escalation.forEach((step, at) => {
    if ((step.groups ?? []).length + (step.on_call ?? []).length === 0)
      complain('adds nobody: name groups or on_call', 'escalation', at, 'groups');
    if (!isPlain && step.for === undefined)
      complain(
        `for is missing: whose seats may they fill? There are: ${asked.join(', ')}`,
        'escalation',
        at,
      );
    if (step.for !== undefined && !asked.includes(step.for))
      complain(
        `"${step.for}" is not asked here; there are: ${asked.join(', ')}`,
        'escalation',
        at,
        'for',
      );
  });
}

function stageOf({
  quorum,
  ...asked
}: Asked & { title?: string | undefined }): StageRule & { title: string | null } {
  const isEach = typeof quorum !== 'number';
  return {
    title: asked.title ?? null,
    groups: groupsOf(asked),
    quorum: isEach ? Object.values(quorum).reduce((sum, number) => sum + number, 0) : quorum,
    ...(isEach && { seats: quorum }),
  };
}

function seatsOf(route: Route): SeatRule {
  const escalation = route.escalation.map((step) => ({
    after_seconds: step.after_seconds,
    groups: groupsOf(step),
    ...(step.for !== undefined && { for: step.for }),
  }));
  if (!route.stages) {
    const { title: _title, ...only } = stageOf({ ...route, quorum: route.quorum ?? 1 });
    return { ...only, escalation };
  }
  const stages = route.stages.map(stageOf);
  return {
    groups: [...new Set(stages.flatMap(({ groups }) => groups))],
    quorum: stages.reduce((sum, { quorum }) => sum + quorum, 0),
    stages,
    ...(route.same_person === 'allowed' && { same_person: 'allowed' as const }),
    escalation,
  };
}

const asRule = (route: Route): RouteRule => ({
  title: route.title,
  ...seatsOf(route),
  expiry_seconds: route.expiry_seconds,
  valid_seconds: route.valid_seconds,
  strength: route.strength,
  ...(Object.keys(route.strength_by_risk ?? {}).length > 0 && {
    strength_by_risk: route.strength_by_risk ?? {},
  }),
  channels: route.channels,
  independence: route.independence,
  remind_at: route.remind_at,
  ...(route.standing && { standing: route.standing }),
  ...(route.break_glass && { break_glass: route.break_glass }),
  ...permitFacts(route),
  ...(route.attention_budget && { attention_budget: route.attention_budget }),
  ...(route.ask && { ask: route.ask }),
  ...(route.slack && { slack: route.slack }),
  ...(route.webhooks && { webhooks: route.webhooks }),
  ...(route.email && { email: route.email }),
});

/** The file, by the names of its routes. */
export const routesFile = z.record(policyName, routeSchema.transform(asRule));
