// Clients of the SDK against the service of a test.
import { appendFile, cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import {
  openClient,
  parsePrivateKey,
  type Client,
  type ClientOptions,
  type PrivateJwk,
} from '../../sdk/index.ts';
import { admittedAgent, person, type TestAgent, type TestPerson } from './client.ts';
import type { TestService } from './service.ts';

export interface Team {
  approver: TestPerson;
  owner: TestPerson;
  agent: TestAgent;
  key: PrivateJwk;
}

/** An approver of everything, an owner, and an agent of theirs. */
export async function team(service: TestService): Promise<Team> {
  const groups = ['data-owners', 'admins', 'payout-approvers'];
  const approver = await person(service, 'Approver', groups);
  const owner = await person(service, 'Owner', ['engineering']);
  const agent = await admittedAgent(service, owner.id, approver);
  return { approver, owner, agent, key: parsePrivateKey(agent.key.privateJwk) };
}

type More = Partial<Omit<ClientOptions, 'url' | 'credential'>>;

export const agentClient = (service: TestService, { agent, key }: Team, more: More = {}): Client =>
  openClient({ url: service.url, credential: { agent: agent.id, key }, ...more });

export const adminClient = (service: TestService, more: More = {}): Client =>
  openClient({ url: service.url, credential: { token: service.adminToken }, ...more });

/** A copy of the sample policy, with text added to the ends of its files. */
export async function policyWith(added: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-policy-'));
  await cp(path.join(PACKAGE_ROOT, 'policy'), folder, { recursive: true });
  for (const [file, text] of Object.entries(added)) await appendFile(path.join(folder, file), text);
  return folder;
}

/** The sample policy with one more role, which no policy permits. */
export const policyWithForbiddenRole = (): Promise<string> =>
  policyWith({
    'roles.yaml': `
  vault:
    title: What nobody gets
    issuer: jwt
    audience: https://vault.example
`,
  });
