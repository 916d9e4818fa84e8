// purposes.yaml: what work may be for. A task declares one of them, rules compare it and the function of the business
// that it serves, and a purpose may say which actions belong to it.
import { schemaToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { z } from 'zod';
import { Refusal } from '../../domain/refusal.ts';
import type { PolicyBundle } from './bundle.ts';
import type { Question } from './evaluate.ts';
import { lineOf, placeOf, readYaml, type PolicyProblem } from './yaml.ts';

export const PURPOSES_FILE = 'purposes.yaml';

const purposeName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_.-]{0,99}$/, 'lower-case letters, digits, _ . -');

const purposesFile = z
  .record(
    purposeName,
    z.strictObject({
      title: z.string().min(1).max(200),
      business_function: purposeName,
      /** What may be asked for under it, as "action" or "action name"; anything, where it is left out. */
      actions: z.array(z.string().min(1).max(200)).min(1).max(100).optional(),
    }),
  )
  .refine((purposes) => Object.keys(purposes).length > 0, 'at least one purpose');

/** One purpose of the taxonomy. */
type PurposeDefinition = z.infer<typeof purposesFile>[string];

/** The taxonomy; null where a bundle has none, and purposes are free text. */
export type Purposes = ReadonlyMap<string, PurposeDefinition> | null;

/** Reads the taxonomy, if there is one. */
export function readPurposes(files: Record<string, string>, problems: PolicyProblem[]): Purposes {
  if (files[PURPOSES_FILE] === undefined) return null;
  return new Map(Object.entries(readYaml(PURPOSES_FILE, files, purposesFile, problems) ?? {}));
}

/** What the engine is told of a purpose besides its name: the function it serves, as this policy has it. */
export function contextUnder(
  { purposes }: PolicyBundle,
  { context, action }: Question,
): Question['context'] {
  const { purpose } = context;
  if (purposes === null || !hasPurpose(action) || typeof purpose !== 'string') return context;
  return { ...context, business_function: purposes.get(purpose)?.business_function ?? '' };
}

/** Why nothing like this is done for this purpose, whatever rules permit; null where it may be. */
export function whyNotForPurpose(
  { purposes }: PolicyBundle,
  { context, action, resource }: Question,
): { code: 'purpose_unknown' | 'purpose_excludes'; says: string } | null {
  const { purpose } = context;
  if (purposes === null || !hasPurpose(action) || typeof purpose !== 'string') return null;
  const known = purposes.get(purpose);
  if (!known)
    return {
      code: 'purpose_unknown',
      says: `the purpose of this task is none that policy knows (${[...purposes.keys()].join(', ')}): change it first`,
    };
  const { actions } = known;
  if (!actions || actions.includes(action) || actions.includes(`${action} ${resource.id}`))
    return null;
  return {
    code: 'purpose_excludes',
    says: `${action} ${resource.id} is not part of the purpose ${purpose}`,
  };
}

/** Refuses a purpose that is not in the taxonomy, where there is one. */
export function refuseUnknownPurpose({ purposes }: PolicyBundle, purpose: string): void {
  if (purposes === null || purposes.has(purpose)) return;
  const known = [...purposes.keys()];
  throw new Refusal(
    'purpose_unknown',
    `Policy knows these purposes: ${known.join(', ')}. Say one of them.`,
    { purposes: known },
  );
}

/** Mistakes in the taxonomy, or in how the rest of the bundle speaks of it. */
export function purposeProblems(bundle: PolicyBundle): PolicyProblem[] {
  return bundle.purposes === null
    ? []
    : [...actionProblems(bundle, bundle.purposes), ...schemaProblems(bundle)];
}

const ASKED_FOR: Readonly<Record<string, (bundle: PolicyBundle) => ReadonlyMap<string, unknown>>> =
  {
    'credential:request': ({ roles }) => roles,
    'statement:run': ({ roles }) => roles,
    'http:call': ({ upstreams }) => upstreams,
    'token:exchange': () => new Map(),
  };

/** What agents ask for under a task; a purpose that anybody else’s action speaks of is not ours to judge. */
const hasPurpose = (action: string): boolean => Object.hasOwn(ASKED_FOR, action);

function actionProblems(bundle: PolicyBundle, purposes: NonNullable<Purposes>): PolicyProblem[] {
  return [...purposes].flatMap(([name, { actions = [] }]) =>
    actions.flatMap((each) => {
      const [action = '', resource, ...more] = each.split(' ');
      const known = Object.hasOwn(ASKED_FOR, action) ? ASKED_FOR[action]?.(bundle) : undefined;
      const isGood =
        known !== undefined && more.length === 0 && (resource === undefined || known.has(resource));
      if (isGood) return [];
      const allowed =
        known === undefined
          ? `an action: ${Object.keys(ASKED_FOR).join(', ')}`
          : `"${action}", or "${action} NAME" with one of: ${[...known.keys()].join(', ') || 'none'}`;
      return [
        {
          ...placeOf({ [PURPOSES_FILE]: bundle.files[PURPOSES_FILE] ?? '' }, each),
          message: `${name}.actions: "${each}" is nothing that can be asked for; allowed: ${allowed}`,
        },
      ];
    }),
  );
}

/** What the engine is told has to be in its schema, or it would refuse every question. */
function schemaProblems({ schema }: PolicyBundle): PolicyProblem[] {
  const parsed = schemaToJson(schema);
  if (parsed.type === 'failure') return [];
  const actions = Object.values(parsed.json).flatMap((part) => Object.entries(part.actions));
  return actions
    .filter(([name]) => Object.hasOwn(ASKED_FOR, name))
    .filter(([, { appliesTo }]) => !JSON.stringify(appliesTo?.context ?? {}).includes(MEMBER))
    .map(([name]) => ({
      file: 'schema.cedarschema',
      line: lineOf(schema, schema.indexOf(`"${name}"`)),
      message: `with ${PURPOSES_FILE}, the context of "${name}" needs business_function?: String`,
    }));
}

const MEMBER = '"business_function"';
