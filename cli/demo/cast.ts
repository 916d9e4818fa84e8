// Who plays in the demo: people who sign in and decide as people do, and agents with keys of their own. Everything
// goes through the API that everybody uses.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseJson, type JsonObject } from '../../domain/json.ts';
import { object, text } from '../../domain/verdict/facts.ts';
import { generateKey, openClient, type Client, publicKeyOf } from '../../sdk/index.ts';
import { StartError } from '../embedded/process.ts';

export interface Player {
  id: string;
  name: string;
  /** Looks at a request, takes this long over it, and decides. Answers the status and code. */
  decide(request: string, decision: Decision): Promise<{ status: number; code: string | null }>;
}

interface Decision {
  decision: 'approve' | 'deny';
  reason?: string;
  disposition?: 'revise' | 'stop';
  lookMs?: number;
}

export interface Invited {
  name: string;
  groups: string[];
  slackUserId?: string;
}

/** Invites somebody and signs them in through their link, as a browser would. */
export async function invite(automation: Client, person: Invited): Promise<Player> {
  const invited = await automation.people.invite({ ...person, roles: ['approver'] });
  const token = invited.sign_in_url.split('/').at(-1) ?? '';
  const session = await post(automation.url, '/v1/sessions', { token }, {});
  const cookie = session.headers.get('set-cookie')?.split(';')[0] ?? '';
  const csrf = text(session.body['csrf_token']) ?? '';
  const headers = { cookie, 'x-csrf-token': csrf };
  return {
    id: invited.id,
    name: person.name,
    decide: async (request, { lookMs = 0, ...ballot }) => {
      const seen = await fetch(new URL(`/v1/requests/${request}`, automation.url), { headers });
      const shown = text(object(parseJson(await seen.text()))['shown']) ?? '';
      await sleep(lookMs);
      const vote = { ...ballot, shown };
      const { status, body } = await post(
        automation.url,
        `/v1/requests/${request}/votes`,
        vote,
        headers,
      );
      return { status, code: text(body['code']) };
    },
  };
}

async function post(
  origin: string,
  path: string,
  body: JsonObject,
  headers: Record<string, string>,
): Promise<{ status: number; body: JsonObject; headers: Headers }> {
  const response = await fetch(new URL(path, origin), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const answer = object(parseJson(await response.text()));
  return { status: response.status, body: answer, headers: response.headers };
}

export interface DemoAgent {
  id: string;
  name: string;
  client: Client;
}

export interface AgentPart {
  name: string;
  owner: Player;
  team: string;
  purpose: string;
  admittedBy: Player;
}

const ADMISSION_MS = 20_000;

/** Registers an agent of kind `demo`: whatever it does is marked as played, in the log and in verdicts. */
export async function enlist(automation: Client, part: AgentPart): Promise<DemoAgent> {
  const key = await generateKey();
  const name = `${part.name}-${randomBytes(3).toString('hex')}`;
  const registered = await automation.agents.register({
    name,
    kind: 'demo',
    owner: part.owner.id,
    team: part.team,
    purpose: part.purpose,
    keys: [publicKeyOf(key)],
  });
  if (registered.request !== null)
    await part.admittedBy.decide(registered.request, { decision: 'approve', lookMs: 800 });
  const deadline = Date.now() + ADMISSION_MS;
  while ((await automation.agents.get(registered.id)).state !== 'active') {
    if (Date.now() > deadline)
      throw new StartError(`${name} was not admitted in ${ADMISSION_MS / 1000} s.`);
    await sleep(100);
  }
  const client = openClient({ url: automation.url, credential: { agent: registered.id, key } });
  return { id: registered.id, name, client };
}
