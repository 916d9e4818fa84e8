// The one policy in a role that denies sessions whose lease is over. AWS has no way to end a session; it holds every
// call of one against the policies of its role, and each session carries its lease's id as a tag.
import { TargetError, type LeaseToEnd, type TargetRef } from '../../commands/credentials/issuer.ts';
import { bodyOf, isId } from '../../domain/id.ts';
import { callIam } from './aws-iam.ts';
import { isObject } from './http.ts';
import type { World } from './world.ts';
import { elementOf } from './xml.ts';

const POLICY_NAME = 'countersign-ended-sessions';
/** IAM counts the inline policies of a role together, without white space; others need room too. */
const POLICY_CHARACTERS_MAX = 9_000;
const HOUR_MS = 3_600_000;

/** The name that IAM's calls take: without the path. */
export const roleNameOf = (arn: string): string => arn.split('/').at(-1) ?? '';

/** Sessions that are denied, by the hour before which they all have ended by themselves. */
type Denials = Map<number, Set<string>>;

/** Adds these sessions to the denied ones, and drops those that have ended by themselves. */
export async function denySessions(
  world: World,
  ref: TargetRef,
  role: string,
  leases: readonly LeaseToEnd[],
): Promise<void> {
  const denials = await readDenials(world, ref, role);
  const already = sessionsIn(denials);
  const before = [...already].length;
  for (const hour of denials.keys()) if (hour + HOUR_MS < world.now()) denials.delete(hour);
  const fresh = leases.filter(({ credential }) => !already.has(credential));
  for (const { credential, diesAt } of fresh) {
    const hour = Math.ceil(Date.parse(diesAt ?? '') / HOUR_MS) * HOUR_MS;
    if (Number.isNaN(hour)) continue;
    denials.set(hour, (denials.get(hour) ?? new Set()).add(credential));
  }
  if (fresh.length === 0 && sessionsIn(denials).size === before) return;
  const document = documentOf(denials);
  if (document.length > POLICY_CHARACTERS_MAX) throw new TargetError('deny_policy_full');
  await callIam(world, ref, {
    Action: 'PutRolePolicy',
    RoleName: role,
    PolicyName: POLICY_NAME,
    PolicyDocument: document,
  });
}

/** The leases whose sessions a role denies now. */
export const deniedSessions = async (
  world: World,
  ref: TargetRef,
  role: string,
): Promise<Set<string>> => sessionsIn(await readDenials(world, ref, role));

const sessionsIn = (denials: Denials): Set<string> =>
  new Set([...denials.values()].flatMap((sessions) => [...sessions]));

const SID = /^EndedBy(\d{1,9})$/;

/** Each statement's id says the hour, so that whoever prunes needs to know nothing else. */
function documentOf(denials: Denials): string {
  const statements = [...denials]
    .toSorted(([a], [b]) => a - b)
    .map(([hour, sessions]) => ({
      Sid: `EndedBy${hour / HOUR_MS}`,
      Effect: 'Deny',
      Action: '*',
      Resource: '*',
      Condition: {
        StringEquals: { 'aws:PrincipalTag/countersign_credential': [...sessions].toSorted() },
      },
    }));
  return JSON.stringify({ Version: '2012-10-17', Statement: statements });
}

/** Reads only what counts: a statement of ours that really denies everything. */
async function readDenials(world: World, ref: TargetRef, role: string): Promise<Denials> {
  const xml = await readPolicy(world, ref, role);
  const text = xml === null ? null : elementOf(xml, 'PolicyDocument');
  const denials: Denials = new Map();
  if (text === null) return denials;
  const document: unknown = JSON.parse(decodeURIComponent(text));
  const statements = isObject(document) ? document['Statement'] : [];
  for (const each of Array.isArray(statements) ? statements : []) {
    if (!isObject(each) || each['Effect'] !== 'Deny') continue;
    if (each['Action'] !== '*' || each['Resource'] !== '*') continue;
    const { Sid: sid } = each;
    const hour = typeof sid === 'string' ? SID.exec(sid)?.[1] : undefined;
    const condition = each['Condition'];
    const equals = isObject(condition) ? condition['StringEquals'] : null;
    const ids = isObject(equals) ? equals['aws:PrincipalTag/countersign_credential'] : [];
    const known = (Array.isArray(ids) ? ids : [ids]).filter((id) => isCredential(id));
    if (hour !== undefined && isObject(condition) && Object.keys(condition).length === 1)
      denials.set(Number(hour) * HOUR_MS, new Set(known));
  }
  return denials;
}

const isCredential = (id: unknown): id is string =>
  typeof id === 'string' && isId('credential', id) && bodyOf(id) !== '';

/** The policy's text; null where the role has none of ours. */
const readPolicy = (world: World, ref: TargetRef, role: string): Promise<string | null> =>
  callIam(world, ref, {
    Action: 'GetRolePolicy',
    RoleName: role,
    PolicyName: POLICY_NAME,
  }).catch((error: unknown) => {
    if (error instanceof TargetError && error.code === 'no_such_entity') return null;
    throw error;
  });
