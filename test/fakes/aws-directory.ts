// What an AWS account has, as IAM lists it: in pages, in XML, with trust policies as IAM writes them, and with no word
// about what its caller may not know.

export interface DirectoryRole {
  path?: string;
  description?: string;
  created?: string;
  trust: unknown;
  lastUsed?: string;
}

export interface DirectoryKey {
  status?: 'Active' | 'Inactive';
  created: string;
  lastUsed?: string;
}

export interface AwsDirectory {
  /** By name. */
  roles: Map<string, DirectoryRole>;
  /** Access keys by their id, by the name of their user. */
  users: Map<string, Map<string, DirectoryKey>>;
  /** Actions that the caller may not take. */
  denied: Set<string>;
  /** How often each action was asked for. */
  asked: Map<string, number>;
}

export const emptyDirectory = (): AwsDirectory => ({
  roles: new Map(),
  users: new Map(),
  denied: new Set(),
  asked: new Map(),
});

/** Two at a time, so that whoever does not ask for the rest does not get it. */
const PAGE = 2;

const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[^\x20-\x7e]/gu, (each) => `&#x${(each.codePointAt(0) ?? 0).toString(16)};`);

const listed = (action: string, name: string, all: readonly string[], form: URLSearchParams) => {
  const start = Number(form.get('Marker') ?? 0);
  const isMore = start + PAGE < all.length;
  return `<${action}Response><${action}Result><IsTruncated>${isMore}</IsTruncated>${
    isMore ? `<Marker>${start + PAGE}</Marker>` : ''
  }<${name}>${all
    .slice(start, start + PAGE)
    .map((each) => `<member>${each}</member>`)
    .join('')}</${name}></${action}Result></${action}Response>`;
};

const roleXml = (account: string, name: string, role: DirectoryRole): string =>
  `<Path>${role.path ?? '/'}</Path><RoleName>${name}</RoleName><RoleId>AROA${name.toUpperCase()}</RoleId>
   <Arn>arn:aws:iam::${account}:role${role.path ?? '/'}${name}</Arn>
   <CreateDate>${role.created ?? '2026-01-01T00:00:00Z'}</CreateDate>
   <AssumeRolePolicyDocument>${encodeURIComponent(
     typeof role.trust === 'string' ? role.trust : JSON.stringify(role.trust),
   )}</AssumeRolePolicyDocument>
   ${role.description === undefined ? '' : `<Description>${escaped(role.description)}</Description>`}
   <Tags><member><Key>k</Key><Value>v</Value></member></Tags>`;

/** `AccessDenied` where the caller may not; null for what is no question about the directory. */
export function answerDirectory(
  { roles, users, denied, asked }: AwsDirectory,
  form: URLSearchParams,
  account: string,
): string | null {
  const action = form.get('Action') ?? '';
  asked.set(action, (asked.get(action) ?? 0) + 1);
  if (denied.has(action)) return 'AccessDenied';
  switch (action) {
    case 'ListRoles':
      return listed(
        action,
        'Roles',
        [...roles].map(([name, role]) => roleXml(account, name, role)),
        form,
      );
    case 'GetRole': {
      const name = form.get('RoleName') ?? '';
      const role = roles.get(name);
      const used = role?.lastUsed;
      return `<GetRoleResponse><GetRoleResult><Role>${role ? roleXml(account, name, role) : ''}<RoleLastUsed>${
        used === undefined
          ? ''
          : `<LastUsedDate>${used}</LastUsedDate><Region>eu-central-1</Region>`
      }</RoleLastUsed></Role></GetRoleResult></GetRoleResponse>`;
    }
    case 'ListUsers':
      return listed(
        action,
        'Users',
        [...users.keys()].map(
          (name) => `<Path>/</Path><UserName>${escaped(name)}</UserName><UserId>AIDA</UserId>`,
        ),
        form,
      );
    case 'ListAccessKeys': {
      const user = form.get('UserName') ?? '';
      const keys = [...(users.get(user) ?? [])].map(
        ([id, { status = 'Active', created }]) =>
          `<UserName>${escaped(user)}</UserName><AccessKeyId>${id}</AccessKeyId><Status>${status}</Status><CreateDate>${created}</CreateDate>`,
      );
      return listed(action, 'AccessKeyMetadata', keys, form);
    }
    case 'GetAccessKeyLastUsed': {
      const id = form.get('AccessKeyId') ?? '';
      const key = [...users.values()].map((keys) => keys.get(id)).find(Boolean);
      return `<GetAccessKeyLastUsedResponse><GetAccessKeyLastUsedResult><AccessKeyLastUsed>${
        key?.lastUsed === undefined ? '' : `<LastUsedDate>${key.lastUsed}</LastUsedDate>`
      }<ServiceName>s3</ServiceName><Region>eu-central-1</Region></AccessKeyLastUsed></GetAccessKeyLastUsedResult></GetAccessKeyLastUsedResponse>`;
    }
    default:
      return null;
  }
}
