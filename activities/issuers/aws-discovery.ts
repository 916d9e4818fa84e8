// The roles of an AWS account with who may assume them, and the access keys of its users. What IAM refuses to tell is
// a gap, or unknown; AWS's own roles, which nobody else can assume or make, are left out.
import type { RoleDefinition } from '../../commands/access/kinds.ts';
import { TargetError, type TargetRef } from '../../commands/credentials/issuer.ts';
import {
  censusOf,
  PLAIN_FACTS,
  safeComment,
  type Census,
  type Found,
} from '../../domain/found-identity.ts';
import { callIam } from './aws-iam.ts';
import { trustIn } from './aws-trust.ts';
import { forEach, gapsIn, listing, lookClock } from './http.ts';
import type { World } from './world.ts';
import { elementOf, elementsOf } from './xml.ts';

/** A page of roles has to fit into one answer, with a trust policy in each. */
const PAGE = 50;
const PAGES_MAX = 400;
/** Roles under this path are AWS's own. */
const SERVICE_PATH = '/aws-service-role/';

/** One look at an account. */
interface Account {
  world: World;
  ref: TargetRef;
  /** Throws once the look has taken too long. */
  check: () => void;
  /** Questions that IAM refused, which are not put again. */
  refused: Set<string>;
}

/** `issuer` is what we are called where the account knows us as an identity provider. */
export async function discoverAccount(
  world: World,
  ref: TargetRef,
  opened: ReadonlyMap<string, RoleDefinition>,
  issuer: string,
): Promise<Census> {
  if (ref.definition?.issuer === 'aws' && !ref.definition.iam)
    throw new TargetError('iam_not_configured');
  const account: Account = { world, ref, check: lookClock(world.now), refused: new Set() };
  const roles = await listing(listRoles(account, opened, issuer.replace(/^https:\/\//, '')));
  const keys = await listing(listKeys(account));
  const gaps = gapsIn([
    ['role', roles],
    ['access_key', keys],
  ]);
  return censusOf([...roles.items, ...keys.items], gaps);
}

/** Every page of a list; each member's XML. */
async function pagesOf(
  { world, ref, check }: Account,
  parameters: Record<string, string>,
): Promise<string[]> {
  const members: string[] = [];
  let marker: string | null = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    check();
    const xml: string = await callIam(world, ref, {
      ...parameters,
      MaxItems: String(PAGE),
      ...(marker !== null && { Marker: marker }),
    });
    members.push(...elementsOf(xml, 'member'));
    marker = elementOf(xml, 'IsTruncated') === 'true' ? elementOf(xml, 'Marker') : null;
    if (marker === null) return members;
  }
  throw new TargetError('too_many_pages');
}

/** One more question about one thing; null where IAM does not answer it. */
async function askMore(
  { world, ref, check, refused }: Account,
  parameters: Record<string, string> & { Action: string },
): Promise<string | null> {
  if (refused.has(parameters.Action)) return null;
  check();
  try {
    return await callIam(world, ref, parameters);
  } catch (error) {
    if (!(error instanceof TargetError && error.nothingMade)) throw error;
    if (error.code === 'access_denied') refused.add(parameters.Action);
    return null;
  }
}

const timeIn = (xml: string, name: string): string | null => {
  const ms = Date.parse(elementOf(xml, name) ?? '');
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
};

function must(xml: string, name: string): string {
  const text = elementOf(xml, name);
  if (text === null || text === '') throw new TargetError('bad_answer');
  return text;
}

async function listRoles(
  account: Account,
  opened: ReadonlyMap<string, RoleDefinition>,
  provider: string,
): Promise<Found[]> {
  const members = await pagesOf(account, { Action: 'ListRoles' });
  const roles = members.filter((xml) => !must(xml, 'Path').startsWith(SERVICE_PATH));
  return forEach(roles, async (xml): Promise<Found> => {
    const name = must(xml, 'RoleName');
    const arn = must(xml, 'Arn');
    const more = await askMore(account, { Action: 'GetRole', RoleName: name });
    const trust = trustIn(documentIn(xml), arn.split(':')[4] ?? '');
    const gives = [...opened].flatMap(([each, role]) =>
      role.issuer === 'aws' && role.role_arn === arn ? [each] : [],
    );
    return {
      name,
      reference: must(xml, 'RoleId'),
      kind: 'role',
      facts: {
        ...PLAIN_FACTS,
        usableBy: trust.principals,
        // Others who may assume what policy gives need not ask us.
        reaches: trust.lets(provider) ? gives : [],
        seenRisks: trust.risks,
        comment: safeComment(elementOf(xml, 'Description')),
        createdAt: timeIn(xml, 'CreateDate'),
        usedAt: more === null ? null : timeIn(more, 'LastUsedDate'),
        unknown: ['privileges', ...(more === null ? (['used_at'] as const) : [])],
      },
    };
  });
}

/** The trust policy, which travels in the form of a URL's query. */
function documentIn(xml: string): unknown {
  try {
    return JSON.parse(decodeURIComponent(elementOf(xml, 'AssumeRolePolicyDocument') ?? ''));
  } catch {
    return null;
  }
}

async function listKeys(account: Account): Promise<Found[]> {
  const users = await pagesOf(account, { Action: 'ListUsers' });
  const own = ownKey(account);
  const keys = await forEach(users, async (xml) => {
    const name = must(xml, 'UserName');
    return pagesOf(account, { Action: 'ListAccessKeys', UserName: name });
  });
  return forEach(keys.flat(), async (xml): Promise<Found> => {
    const id = must(xml, 'AccessKeyId');
    const more = await askMore(account, { Action: 'GetAccessKeyLastUsed', AccessKeyId: id });
    const createdAt = timeIn(xml, 'CreateDate');
    return {
      // Enough to find it by; the rest of its id is nobody's business here.
      name: `${must(xml, 'UserName')}/…${id.slice(-4)}`,
      reference: createdAt ?? 'unknown',
      kind: 'access_key',
      facts: {
        ...PLAIN_FACTS,
        createdAt,
        secretChangedAt: createdAt,
        isEnabled: elementOf(xml, 'Status') !== 'Inactive',
        usedAt: more === null ? null : timeIn(more, 'LastUsedDate'),
        unknown: ['privileges', ...(more === null ? (['used_at'] as const) : [])],
        serves: id === own ? 'issuer' : null,
      },
    };
  });
}

function ownKey({ world, ref: { definition } }: Account): string | null {
  const iam = definition?.issuer === 'aws' ? definition.iam : undefined;
  return iam ? world.secrets(iam.access_key_id_from) : null;
}
