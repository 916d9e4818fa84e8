// Calls that sign in with a token made for them: nobody else sees it, and it ends with the call.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startFakeGithub, type FakeGithub } from '../fakes/github.ts';
import { withAccess } from '../support/access.ts';
import { changePolicy, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import { eventually, list, object, opened, text, vote } from '../support/client.ts';
import { historiesOf, secretsIn, tablesOf } from '../support/searching.ts';

let cast: Cast;
let github: FakeGithub;
let task: string;
const logged: string[] = [];
/** Every token that was ever made. */
const tokens: Record<string, string> = {};

beforeAll(async () => {
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    logged.push(String(chunk));
    return true;
  });
  github = await startFakeGithub();
  const made = github.tokens.set.bind(github.tokens);
  github.tokens.set = (token, given) => {
    tokens[`token ${Object.keys(tokens).length}`] = token;
    return made(token, given);
  };
  cast = await startCast({ env: { COUNTERSIGN_LOG: 'on', GITHUB_KEY: github.privateKey } });
  await changePolicy(cast.service, cast.approver, (files) => withCode(files));
  task = await startTask(cast.agent);
});
afterAll(async () => {
  await cast.close();
  await github.close();
  vi.restoreAllMocks();
});

/** The code host as an API that is called with tokens of an app of ours. */
function withCode(files: Record<string, string>): Record<string, string> {
  const { app, installation, url: api } = github;
  const added = withAccess(files, {
    targets: {
      github: { issuer: 'github', api, app, installation, private_key_from: 'GITHUB_KEY' },
    },
    roles: {
      'code-read': {
        issuer: 'github',
        target: 'github',
        title: 'Code',
        repositories: ['orders'],
        permissions: { contents: 'read' },
      },
    },
  });
  const rules = (added['main.cedar'] ?? '').replace(/@id\("take-code-read"\)[^;]*;/, '');
  return {
    ...added,
    'main.cedar': `${rules}
@id("call-code")
permit (principal is Agent, action == Action::"http:call", resource == Upstream::"code")
when { context.effect == "read" };
@id("end-code")
@approval("orders-write")
permit (principal is Agent, action == Action::"http:call", resource == Upstream::"code")
when { context.effect != "read" };`,
    'upstreams.yaml': `code:
  title: The code
  base: ${api}
  authentication: { role: code-read }
  headers: { x-github-api-version: "2022-11-28" }
  reason: required
  calls:
    list-repositories: { method: GET, path: /installation/repositories, effect: read }
    end-token: { method: DELETE, path: /installation/token, effect: access }
`,
  };
}

const ask = (call: string, more = {}) =>
  cast.agent.call('POST', '/v1/run', {
    task,
    upstream: 'code',
    call,
    reason: 'to look',
    seal_to: cast.seal.publicJwk,
    ...more,
  });

/** Waits until the other side knows none of our tokens any more. */
/** Gone at GitHub, and asked for no more: what is asked after that is asked by what the test does. */
const allEnded = () =>
  eventually(async () => {
    const open = await cast.service.database.owner.sql`
      select id from credential where issuer = 'github' and ended_at is null`;
    return github.tokens.size === 0 && open.length === 0;
  });

describe('a call that signs in with a role', () => {
  it('I3: has a token of its own, which ends with it', async () => {
    const before = Object.keys(tokens).length;
    const reply = await ask('list-repositories');
    expect(reply.body).toMatchObject({ state: 'done', status: 200 });
    expect(Object.keys(tokens).length - before).toBe(1);
    await allEnded();
    const credential = text(reply.body['credential']);
    await eventually(async () => {
      const lease = await cast.agent.call('GET', `/v1/credentials/${credential}`);
      return lease.body['state'] === 'revoked';
    });
    expect(await opened(reply.body['sealed'], cast.seal)).toMatchObject({ status: 200 });
  });

  it('gives its role to nobody: asked for by itself it is denied', async () => {
    const reply = await cast.agent.call('POST', `/v1/tasks/${task}/credentials`, {
      role: 'code-read',
      seal_to: cast.seal.publicJwk,
    });
    expect(reply.body['code']).toBe('denied');
  });

  it('is made once people agreed, with a token made then', async () => {
    const before = Object.keys(tokens).length;
    const held = await ask('end-token');
    expect(held.status).toBe(202);
    expect(Object.keys(tokens)).toHaveLength(before);
    const request = text(object(held.body['request'])['id']);
    await vote(cast.approver, request, 'approve');
    await eventually(async () => (await seen(cast.service, request))['state'] === 'consumed');
    const runs = await cast.agent.call('GET', `/v1/runs?request=${request}`);
    expect(list(runs.body['data'])).toMatchObject([{ state: 'done', status: 204, sends: 1 }]);
    await allEnded();
  });

  it('takes a reason where the API is called only with one', async () => {
    expect((await ask('list-repositories', { reason: ' ' })).body['code']).toBe('reason_required');
  });

  it('goes out with nothing where no token can be made', async () => {
    github.instead.push({ status: 500, body: 'out of order' });
    const reply = await ask('list-repositories');
    expect(reply.body).toMatchObject({ state: 'failed', sends: 0, status: null });
  });

  it('I5: leaves its tokens in no table, no history and no log', async () => {
    expect(Object.keys(tokens).length).toBeGreaterThan(1);
    expect(secretsIn(await tablesOf(cast.service), tokens)).toEqual([]);
    const { raw, decoded } = await historiesOf(cast.service);
    expect(secretsIn(raw, tokens)).toEqual([]);
    expect(secretsIn(decoded, tokens)).toEqual([]);
    expect(secretsIn(logged.join('\n'), tokens)).toEqual([]);
  });
});
