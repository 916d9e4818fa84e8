// A policy bundle: a folder of files, parsed once into something that cannot be half right.
// Every mistake is reported with its file and line, what is wrong, and what is allowed.
import {
  policySetTextToParts,
  policyToJson,
  validate,
  type DetailedError,
  type PolicyJson,
} from '@cedar-policy/cedar-wasm/nodejs';
import { z } from 'zod';
import { freezeRoute, type FrozenRoute } from '../../domain/approval.ts';
import { digestOf, type Digest } from '../../domain/digest.ts';
import { audienceName } from '../access/jwt.ts';
import { policyName, seconds } from '../access/kind.ts';
import {
  accessOf,
  OWN_TARGETS,
  roleSchema,
  targetOf,
  targetSchema,
  type RoleDefinition,
  type TargetDefinition,
} from '../access/kinds.ts';
import { testsFile, type PolicyTest } from './cases.ts';
import { ENTITIES_FILE, readEntities, type DeclaredEntity } from './entities.ts';
import { agentName, FEDERATION_FILE, readFederation, type Federation } from './federation.ts';
import { nameProblems } from './names.ts';
import { PURPOSES_FILE, purposeProblems, readPurposes, type Purposes } from './purposes.ts';
import { routesFile } from './routes.ts';
import {
  readUpstreams,
  upstreamProblems,
  UPSTREAMS_FILE,
  type UpstreamDefinition,
} from './upstreams.ts';
import { lineOf, placeOf, PolicyError, readYaml, type PolicyProblem } from './yaml.ts';

const DAY = 86_400;

const rolesFile = z.strictObject({
  targets: z
    .record(
      policyName.refine((target) => !OWN_TARGETS.has(target), 'this name is our own: use another'),
      targetSchema,
    )
    .default({}),
  roles: z.record(policyName, roleSchema),
  lifecycle: z
    .strictObject({ orphan_grace_seconds: seconds(90 * DAY).default(7 * DAY) })
    .prefault({}),
  /** Who checks tokens for which audiences: such an agent is told of those tokens and of no others. */
  resource_servers: z
    .array(z.strictObject({ agent: agentName, audiences: z.array(audienceName).min(1).max(20) }))
    .max(200)
    .default([]),
  /** Which agents may ask about others than themselves, through AuthZEN. They vouch for what they say of them. */
  enforcement_points: z
    .array(z.strictObject({ agent: agentName }))
    .max(200)
    .default([]),
});

type ResourceServer = z.infer<typeof rolesFile>['resource_servers'][number];

/** One Cedar policy with what its annotations say. */
export interface Rule {
  id: string;
  effect: 'permit' | 'forbid';
  /** The route that must approve; null for a plain permit or a forbid. */
  route: string | null;
  control: string | null;
  /** The control whose gates this permit takes out of the way; null for any other. */
  waives: string | null;
  /** The target that has to be seen by its observer for this rule to count; null where nobody has to. */
  sensor: string | null;
  risk: string | null;
  /** What people are told when this rule decides. */
  title: string | null;
  mode: 'observe' | 'warn' | 'hold';
}

export interface PolicyBundle {
  version: Digest;
  files: Record<string, string>;
  rules: Map<string, Rule>;
  /** Cedar source by rule id: Cedar forgets @id unless ids are given this way. */
  cedar: Record<string, string>;
  schema: string;
  routes: Map<string, FrozenRoute>;
  roles: Map<string, RoleDefinition>;
  targets: Map<string, TargetDefinition>;
  resourceServers: ResourceServer[];
  /** Names of the agents that may ask about others. */
  enforcementPoints: ReadonlySet<string>;
  /** What the bundle knows of things that are not ours. */
  entities: Map<string, DeclaredEntity>;
  tests: PolicyTest[];
  /** How long an agent whose owner left may go on starting tasks. */
  lifecycle: z.infer<typeof rolesFile>['lifecycle'];
  /** Who from elsewhere may sign in as which agent. */
  federation: Federation;
  /** APIs that are called for agents. */
  upstreams: Map<string, UpstreamDefinition>;
  /** What work may be for; null where that is free text. */
  purposes: Purposes;
}

/** The names of the files a bundle may have. */
export const isPolicyFile = (file: string): boolean =>
  /^[a-z0-9][a-z0-9_-]*\.cedar$/.test(file) ||
  [
    'schema.cedarschema',
    'routes.yaml',
    'roles.yaml',
    'tests.yaml',
    ENTITIES_FILE,
    UPSTREAMS_FILE,
    FEDERATION_FILE,
    PURPOSES_FILE,
  ].includes(file);

export const policyVersion = (files: Record<string, string>): Digest =>
  digestOf('countersign/policy/v1', files);

/** Parses and validates a bundle, or throws a PolicyError that lists every problem found. */
export function parsePolicyBundle(files: Record<string, string>): PolicyBundle {
  const problems: PolicyProblem[] = Object.keys(files)
    .filter((file) => !isPolicyFile(file))
    .map((file) => ({ file, line: null, message: 'a policy bundle has no file of this name' }));
  const schema = files['schema.cedarschema'] ?? '';
  if (schema === '')
    problems.push({ file: 'schema.cedarschema', line: null, message: 'is missing' });
  const { rules, cedar } = parseCedar(files, schema, problems);
  const routes = readYaml('routes.yaml', files, routesFile, problems) ?? {};
  const access =
    readYaml('roles.yaml', files, rolesFile, problems) ?? rolesFile.parse({ roles: {} });
  const tests =
    files['tests.yaml'] === undefined
      ? []
      : (readYaml('tests.yaml', files, testsFile, problems) ?? []);
  const bundle: PolicyBundle = {
    version: policyVersion(files),
    files,
    rules,
    cedar,
    schema,
    routes: new Map(
      Object.entries(routes).map(([route, rule]) => [route, freezeRoute(route, rule)]),
    ),
    roles: new Map(Object.entries(access.roles)),
    targets: new Map(Object.entries(access.targets)),
    resourceServers: access.resource_servers,
    enforcementPoints: new Set(access.enforcement_points.map(({ agent }) => agent)),
    entities: readEntities(files, schema, problems),
    tests,
    lifecycle: access.lifecycle,
    federation: readFederation(files, problems),
    upstreams: readUpstreams(files, problems),
    purposes: readPurposes(files, problems),
  };
  // A file that could not be read names nothing, which is no fault of those that refer to it.
  if (problems.length === 0) problems.push(...danglingReferences(bundle));
  if (problems.length > 0) throw new PolicyError(problems);
  return bundle;
}

const ANNOTATIONS = [
  'id',
  'approval',
  'control',
  'waives',
  'requires_sensor',
  'risk',
  'mode',
  'title',
];
const MODES = ['observe', 'warn', 'hold'] as const;

function parseCedar(
  files: Record<string, string>,
  schema: string,
  problems: PolicyProblem[],
): { rules: Map<string, Rule>; cedar: Record<string, string> } {
  const rules = new Map<string, Rule>();
  const cedar: Record<string, string> = {};
  for (const [file, text] of Object.entries(files).filter(([each]) => each.endsWith('.cedar'))) {
    const parts = policySetTextToParts(text);
    if (parts.type === 'failure') {
      problems.push(...parts.errors.map((error) => cedarProblem(file, text, error)));
      continue;
    }
    if (parts.policy_templates.length > 0)
      problems.push({ file, line: null, message: 'policy templates are not supported' });
    for (const source of parts.policies) {
      const parsed = policyToJson(source);
      if (parsed.type === 'failure') continue;
      const line = lineOf(text, text.indexOf(source.trim()));
      const rule = readRule(parsed.json, file, line, problems);
      if (!rule) continue;
      if (rules.has(rule.id))
        problems.push({ file, line, message: `the id "${rule.id}" is used twice` });
      rules.set(rule.id, rule);
      cedar[rule.id] = source;
    }
  }
  if (schema !== '') problems.push(...schemaProblems(schema, cedar, files));
  return { rules, cedar };
}

function schemaProblems(
  schema: string,
  cedar: Record<string, string>,
  files: Record<string, string>,
): PolicyProblem[] {
  const answer = validate({ schema, policies: { staticPolicies: cedar } });
  if (answer.type === 'failure')
    return answer.errors.map((error) => cedarProblem('schema.cedarschema', schema, error));
  return answer.validationErrors.map(({ policyId, error }) => ({
    ...placeOfRule(files, policyId),
    message: `policy "${policyId}": ${error.message}${error.help ? ` (${error.help})` : ''}`,
  }));
}

function cedarProblem(file: string, text: string, error: DetailedError): PolicyProblem {
  const at = error.sourceLocations?.[0]?.start;
  const message = error.help ? `${error.message} (${error.help})` : error.message;
  return { file, line: at === undefined ? null : lineOf(text, at), message };
}

function readRule(
  json: PolicyJson,
  file: string,
  line: number | null,
  problems: PolicyProblem[],
): Rule | null {
  const said = json.annotations ?? {};
  const complain = (message: string): void => void problems.push({ file, line, message });
  for (const [annotation, value] of Object.entries(said)) {
    // A misspelt @approvl would pass as a plain permit, so unknown annotations are mistakes.
    if (!ANNOTATIONS.includes(annotation))
      complain(`@${annotation} is not an annotation; allowed: ${ANNOTATIONS.join(', ')}`);
    else if (!value) complain(`@${annotation} has no value`);
  }
  const { id, approval = null, control = null, waives = null } = said;
  const { requires_sensor: sensor = null } = said;
  const { risk = null, title = null, mode = 'hold' } = said;
  if (!id) {
    complain('every policy needs an @id("…")');
    return null;
  }
  if (json.effect === 'forbid' && (approval ?? control) !== null)
    complain(`"${id}" is a forbid: nobody can approve what is forbidden`);
  if (approval === null && control !== null)
    complain(`"${id}" names a control but asks nobody: add @approval`);
  if (json.effect === 'permit' && approval === null && mode !== 'hold')
    complain(`"${id}" permits without asking anybody, which no @mode changes: leave it out`);
  if (waives !== null && (json.effect === 'forbid' || approval !== null))
    complain(
      `"${id}" waives a control, which only a plain permit can: ${approval === null ? 'a forbid lets nobody past' : 'leave out @approval'}`,
    );
  if (sensor !== null && json.effect === 'forbid')
    complain(`"${id}" is a forbid: it denies whoever sees it, so leave out @requires_sensor`);
  const known = MODES.find((each) => each === mode);
  if (!known) complain(`@mode("${mode}") is not a mode; allowed: ${MODES.join(', ')}`);
  return {
    id,
    effect: json.effect,
    route: approval,
    control: approval === null ? null : (control ?? approval),
    waives,
    sensor,
    risk,
    title,
    mode: known ?? 'hold',
  };
}

/** Names that lead nowhere: a route, a target or a role that does not exist. */
function danglingReferences(bundle: PolicyBundle): PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  for (const rule of bundle.rules.values())
    if (rule.route !== null && !bundle.routes.has(rule.route))
      problems.push({
        ...placeOfRule(bundle.files, rule.id),
        message: `policy "${rule.id}" asks the route "${rule.route}", which is not in routes.yaml; there are: ${listed(bundle.routes)}`,
      });
  problems.push(...purposeProblems(bundle), ...nameProblems(bundle));
  problems.push(...riskProblems(bundle));
  for (const [role, definition] of bundle.roles) {
    const place = placeOf({ 'roles.yaml': bundle.files['roles.yaml'] ?? '' }, `  ${role}:`);
    if (definition.ttl_seconds_default > definition.ttl_seconds_max)
      problems.push({
        ...place,
        message: `roles.${role}: ttl_seconds_default is larger than ttl_seconds_max`,
      });
    problems.push(...targetProblems(bundle, role, definition, place));
  }
  problems.push(...upstreamProblems(bundle.upstreams, bundle.roles, bundle.files));
  return problems;
}

/** A risk that no rule has would ask for its stronger proof never. */
function riskProblems({ routes, rules, files }: PolicyBundle): PolicyProblem[] {
  return [...routes.values()].flatMap(({ name, rule }) => {
    const known = new Set(
      [...rules.values()].flatMap(({ route, risk }) => (route === name ? (risk ?? []) : [])),
    );
    return Object.keys(rule.strength_by_risk ?? {})
      .filter((risk) => !known.has(risk))
      .map((risk) => ({
        ...placeOf({ 'routes.yaml': files['routes.yaml'] ?? '' }, `${name}:`),
        message: `${name}.strength_by_risk: no rule that asks this route has @risk("${risk}"); there are: ${[...known].join(', ') || 'none'}`,
      }));
  });
}

/** A role is issued where its kind of access is: by a target of that kind, or by ourselves. */
function targetProblems(
  { targets }: PolicyBundle,
  role: string,
  definition: RoleDefinition,
  place: Pick<PolicyProblem, 'file' | 'line'>,
): PolicyProblem[] {
  const target = targetOf(definition);
  const issuer = OWN_TARGETS.get(target) ?? targets.get(target)?.issuer;
  const found = targets.get(target);
  const mistake = found && accessOf(definition).mistake?.(definition, found);
  if (issuer === definition.issuer)
    return mistake ? [{ ...place, message: `roles.${role}: ${mistake}` }] : [];
  const says =
    issuer === undefined
      ? `there is no target "${target}"; there are: ${listed(targets)}`
      : `the target "${target}" is ${issuer}, and this role is ${definition.issuer}`;
  return [{ ...place, message: `roles.${role}: ${says}` }];
}

const placeOfRule = (files: Record<string, string>, id: string) => placeOf(files, `@id("${id}")`);

const listed = (names: Map<string, unknown>): string => [...names.keys()].join(', ') || 'none';
