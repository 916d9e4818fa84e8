// @spec AuthZEN-1.0#section-5
// Bodies of the Authorization API. Members that nobody knows are ignored, as the standard wants it; those that it
// names have to be what it says.
import { z } from 'zod';
import { SEMANTICS, type Asked } from '../../commands/authzen/ask.ts';
import type { Named, Tuple } from '../../domain/access-tuple.ts';
import type { JsonObject } from '../../domain/json.ts';
import { asJsonObject } from '../json-body.ts';

const free = z.record(z.string(), z.unknown());
const word = z.string().min(1).max(500);
const named = z.looseObject({ type: word, id: word, properties: free.optional() });
const typed = z.looseObject({ type: word, properties: free.optional() });
const action = z.looseObject({ name: word, properties: free.optional() });
const context = free.optional();

/** One question. */
export const evaluationBody = z.looseObject({ subject: named, action, resource: named, context });

/** Several, with defaults for what they do not say themselves. */
export const evaluationsBody = z.looseObject({
  subject: named.optional(),
  action: action.optional(),
  resource: named.optional(),
  context,
  evaluations: z.array(free).max(100).optional(),
  options: z
    .looseObject({ evaluations_semantic: z.enum(SEMANTICS).default('execute_all') })
    .optional(),
});

const page = z
  .looseObject({
    token: z.string().max(1_000).optional(),
    limit: z.int().min(1).optional(),
  })
  .optional();

/** What is known of a search, by what it looks for. */
export const searchBodies = {
  subject: z.looseObject({ subject: typed, action, resource: named, context, page }),
  resource: z.looseObject({ subject: named, action, resource: typed, context, page }),
  action: z.looseObject({ subject: named, resource: named, context, page }),
};

/** One answer. */
export const decision = z.object({ decision: z.boolean(), context: free }).meta({
  id: 'AccessDecision',
});

interface NamedBody {
  type: string;
  id?: unknown;
  properties?: Record<string, unknown> | undefined;
}
type ActionBody = z.infer<typeof action>;

const properties = (given: Record<string, unknown> | undefined): JsonObject =>
  asJsonObject(given ?? {});

/** Somebody or something that may still lack its id. */
export const readNamed = (body: NamedBody): Named => ({
  type: body.type,
  id: typeof body.id === 'string' ? body.id : '',
  properties: properties(body.properties),
});

/** An action; without a name where that is what is searched for. */
export const readAction = (body: ActionBody | undefined): Tuple['action'] => ({
  name: body?.name ?? '',
  properties: properties(body?.properties),
});

/** A whole question, with the actor that a subject may name left out: it is no part of who the subject is. */
export function readTuple(body: z.infer<typeof evaluationBody>): Tuple {
  const subject = readNamed(body.subject);
  const { act: _act, ...claims } = subject.properties;
  return {
    subject: { ...subject, properties: claims },
    action: readAction(body.action),
    resource: readNamed(body.resource),
    context: properties(body.context),
  };
}

/** One of several: what it says itself replaces the default whole. */
export function readItem(
  defaults: z.infer<typeof evaluationsBody>,
  item: Record<string, unknown>,
): Asked {
  const { subject, action: does, resource, context: around } = defaults;
  const parsed = evaluationBody.safeParse({
    subject,
    action: does,
    resource,
    context: around,
    ...item,
  });
  if (parsed.success) return { tuple: readTuple(parsed.data) };
  const [issue] = parsed.error.issues;
  return {
    mistake: `${issue?.path.map(String).join('.') || 'the evaluation'}: ${issue?.message ?? 'is missing'}`,
  };
}
