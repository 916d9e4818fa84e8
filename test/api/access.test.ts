import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROUTES } from '../../api/app.ts';
import { CONSOLE } from '../../api/console/index.ts';
import type { Route, Who } from '../../api/route.ts';
import { EVENTS } from '../../domain/event-types.ts';
import { startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  anyone,
  list,
  newKey,
  person,
  text,
  type Caller,
  type TestPerson,
} from '../support/client.ts';
import { routeFor } from '../support/conformance.ts';

let cast: Cast;
let callers: Record<Name, Caller>;

/** Every kind of caller, and as whom the route table lets each in. */
const ADMITTED_AS = {
  nobody: [],
  'an agent': ['agent'],
  'another agent': ['agent'],
  'a person without a role': ['person', 'member'],
  'an approver': ['person', 'member'],
  'an auditor': ['person', 'auditor'],
  'an administrator': ['person', 'member', 'admin', 'auditor'],
  'the admin token': ['service', 'admin', 'auditor'],
} as const satisfies Record<string, readonly Who[]>;
type Name = keyof typeof ADMITTED_AS;
/** Only the names written above are in the table. */
const NAMES = Object.keys(ADMITTED_AS) as Name[];

beforeAll(async () => {
  cast = await startCast();
  const { service, approver, owner } = cast;
  callers = {
    nobody: anyone(service),
    'an agent': cast.agent,
    'another agent': await admittedAgent(service, owner.id, approver),
    'a person without a role': await person(service, 'Nemo', [], { roles: [] }),
    'an approver': await person(service, 'Anna', ['data-owners']),
    'an auditor': await person(service, 'Audrey', ['data-owners', 'admins'], {
      roles: ['auditor'],
    }),
    'an administrator': await person(service, 'Adam', ['admins'], { roles: ['admin'] }),
    'the admin token': admin(service),
  };
});
afterAll(() => cast.close());

/** Ids that nothing has, so that whoever gets past the door changes nothing behind it. */
const pathOf = ({ path }: Route): string =>
  path.replaceAll(/\{\w+\}/g, '00000000000000000000000000');

const ENDS_SESSION = (route: Route): boolean =>
  route.method === 'delete' && route.path === '/v1/session';

const isMutating = ({ method }: Route): boolean => method !== 'get';
const nameOf = ({ method, path }: Route): string => `${method} ${path}`;

async function door(caller: Caller, route: Route): Promise<string> {
  const body = route.body ? {} : undefined;
  const { status, body: answer } = await caller.call(
    route.method.toUpperCase(),
    pathOf(route),
    body,
  );
  // A standard's own form of a no has no codes.
  if (route.refuse && (status === 401 || status === 403))
    return status === 401 ? 'unauthenticated' : 'forbidden';
  if (status === 401 && answer['code'] === 'unauthenticated') return 'unauthenticated';
  return status === 403 ? text(answer['code']) : 'in';
}

function expected(name: Name, route: Route): string {
  const as: readonly Who[] = ADMITTED_AS[name];
  if (route.allow.includes('anyone') || route.allow.some((who) => as.includes(who))) return 'in';
  return name === 'nobody' ? 'unauthenticated' : 'forbidden';
}

describe('every route lets in exactly those whom its table names', () => {
  it.each(NAMES)('%s', async (name) => {
    const routes = ROUTES.filter((route) => !ENDS_SESSION(route));
    const found: Record<string, string> = {};
    const wanted: Record<string, string> = {};
    for (const route of routes) {
      found[nameOf(route)] = await door(callers[name], route);
      wanted[nameOf(route)] = expected(name, route);
    }
    expect(found).toEqual(wanted);
  });

  it('a person whose X-CSRF-Token is wrong changes nothing, whatever the type of the body', async () => {
    const { service, approver } = cast;
    for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/plain']) {
      for (const csrf of ['', 'wrong', approver.csrf.slice(0, -1)]) {
        const forged: Caller = {
          call: (method, path) =>
            anyone(service).call(method, path, undefined, {
              cookie: approver.cookie,
              'x-csrf-token': csrf,
              'content-type': type,
            }),
        };
        const routes = ROUTES.filter((route) => isMutating(route) && route.path.startsWith('/v1/'));
        const doors = await Promise.all(routes.map((route) => door(forged, route)));
        expect(new Set(doors)).toEqual(new Set(['forbidden']));
      }
    }
    const still = await approver.call('GET', '/v1/session');
    expect(still.status).toBe(200);
  });

  it('a wrong credential is refused where none is needed, never ignored', async () => {
    const wrong: [string, string][] = [
      // RFC 6750 §3.1: an error is told to whoever sent a token, and to nobody else.
      ['Bearer nonsense', 'Bearer error="invalid_token"'],
      ['Basic YWRtaW46YWRtaW4=', 'Bearer'],
      ['', 'Bearer'],
    ];
    for (const [authorization, challenge] of wrong) {
      const headers = { authorization };
      const reply = await anyone(cast.service).call('GET', '/version', undefined, headers);
      expect(reply.status).toBe(401);
      expect(reply.headers.get('www-authenticate')).toBe(challenge);
    }
  });
});

describe('an auditor', () => {
  it('gets past the door of nothing that changes something, but to sign in and out', () => {
    const open = ROUTES.filter(isMutating)
      .filter((route) => expected('an auditor', route) === 'in')
      .map(nameOf);
    expect(new Set(open)).toEqual(
      new Set([
        'post /v1/sessions',
        'delete /v1/session',
        // How they themselves sign in.
        'post /v1/sessions/passkey/challenge',
        'post /v1/sessions/passkey',
        'post /v1/session/passkeys/challenge',
        'post /v1/session/passkeys',
        'delete /v1/session/passkeys/{passkey}',
        'post /oauth2/token',
        // For whoever has a join token, which is all that counts there.
        'post /v1/join',
        // For agents and services, which say who they are in the way of OAuth.
        'post /oauth2/introspect',
        'post /oauth2/revoke',
        'post /slack/interactions',
        'post /slack/commands',
        'post /slack/events',
        'post /v1/leak-scanners/{id}/reports',
        // A question that is too long for an address.
        'post /v1/policies/simulate',
        // Refused by the one function that decides, which logs it.
        'post /v1/requests/{id}/votes',
      ]),
    );
  });

  it('gets no form of the console past its door, but to sign in and out', async () => {
    const auditor = await person(cast.service, 'Aude', ['data-owners'], { roles: ['auditor'] });
    const forms = CONSOLE.filter(({ method }) => method === 'post');
    const open: string[] = [];
    for (const { path } of forms.filter(({ path }) => !path.startsWith('/sign-'))) {
      const response = await fetch(cast.service.url + path.replaceAll(/\{\w+\}/g, 'nothing'), {
        method: 'POST',
        redirect: 'manual',
        headers: { cookie: auditor.cookie },
        body: new URLSearchParams({ csrf_token: auditor.csrf }),
      });
      if (response.status !== 403) open.push(path);
    }
    expect(forms.length).toBeGreaterThan(8);
    // The form with which people vote ends at the one function that decides, as above; their passkeys are their own.
    expect(open.toSorted()).toEqual(['/me/passkeys/{passkey}/remove', '/requests/{id}']);
  });

  it('is no approver, whatever group they are in', async () => {
    const { service, owner } = cast;
    const registered = await admin(service).call('POST', '/v1/agents', {
      name: 'watched-bot',
      kind: 'ai_agent',
      owner: owner.id,
      team: 'core',
      purpose: 'order support',
      keys: [(await newKey()).publicJwk],
    });
    const request = text(registered.body['request']);
    const auditor = callers['an auditor'];
    const shown = await auditor.call('GET', `/v1/requests/${request}`);
    const voted = await auditor.call('POST', `/v1/requests/${request}/votes`, {
      decision: 'approve',
      shown: text(shown.body['shown']),
    });
    expect(voted.body['code']).toBe('not_eligible');
    const mine = await auditor.call('GET', '/v1/requests?state=pending');
    expect(list(mine.body['data'])).toEqual([]);
  });

  it('has what it reads in reports recorded', async () => {
    await callers['an auditor'].call('GET', '/v1/reports/lifecycle');
    const events = await admin(cast.service).call('GET', '/v1/events?type=report.read');
    expect(list(events.body['data']).length).toBeGreaterThan(0);
  });
});

/** Routes that change no state of ours that anybody relies on, and why that is so. */
const WITHOUT_EVENT: Record<string, string> = {
  'post /oauth2/introspect': 'notes only when a credential was last seen in use',
  'post /v1/policies/simulate': 'asks what another policy would have said, and keeps nothing',
  'post /v1/requests/{id}/statement': 'says what is to be signed; deciding is vote.cast',
  'post /v1/session/passkeys/challenge': 'begins; what is added is person.passkey_added',
  'post /v1/sessions/passkey/challenge': 'keeps nothing; signing in is person.signed_in',
  'post /v1/session/trigger-proof': 'signs a statement; using it is part of task.started',
};

describe('I1: no unaudited mutating route exists', () => {
  it('I1: every mutating route names the events it causes, and reading ones name none', () => {
    const silent = ROUTES.filter((route) => isMutating(route) && route.events.length === 0);
    expect(new Set(silent.map(nameOf))).toEqual(new Set(Object.keys(WITHOUT_EVENT)));
    const loud = ROUTES.filter((route) => !isMutating(route) && route.events.length > 0);
    expect(loud.map(nameOf)).toEqual([]);
    for (const name of ROUTES.flatMap(({ events }) => events))
      expect(Object.keys(EVENTS)).toContain(name);
  });

  it('I1: every form of the console does what a route of the API does, which names its events', () => {
    const audited = ROUTES.filter(
      (route) => isMutating(route) && (route.events.length > 0 || nameOf(route) in WITHOUT_EVENT),
    );
    const forms = CONSOLE.filter(({ method }) => method === 'post');
    expect(forms.length).toBeGreaterThan(10);
    for (const { path, sameAs } of forms)
      expect([path, audited.map(nameOf).includes(sameAs ?? '')]).toEqual([path, true]);
  });

  it('I1: a change that is answered with success has one of its events, by whoever made it', async () => {
    const { service, owner } = cast;
    const someone: TestPerson = await person(service, 'Sam', []);
    const steps: [string, string, Parameters<Caller['call']>[2]][] = [
      ['POST', '/v1/people', { name: 'Pia', roles: [], groups: [] }],
      ['PATCH', `/v1/people/${someone.id}`, { groups: ['qa'] }],
      ['POST', `/v1/people/${someone.id}/links`, {}],
      ['POST', `/v1/agents/${cast.agent.id}/keys`, { key: (await newKey()).publicJwk }],
      ['POST', `/v1/agents/${cast.agent.id}/suspend`, { reason: 'test' }],
      ['POST', `/v1/agents/${cast.agent.id}/resume`, {}],
      ['POST', '/v1/reviews', { title: 'all of it' }],
      [
        'POST',
        '/v1/agents',
        {
          name: 'audited-bot',
          kind: 'service',
          owner: owner.id,
          team: 'core',
          purpose: 'support',
          keys: [(await newKey()).publicJwk],
        },
      ],
      ['PUT', '/v1/integrations/slack', slackSettings],
      ['DELETE', '/v1/integrations/slack', undefined],
    ];
    for (const [method, path, body] of steps) {
      const before = await newest(service.database.owner.sql);
      const reply = await admin(service).call(method, path, body);
      expect([200, 201, 202, 204]).toContain(reply.status);
      const names = await since(service.database.owner.sql, before);
      const promised: readonly string[] = routeFor(method, path)?.events ?? [];
      expect(names.some((name) => promised.includes(name))).toBe(true);
    }
  });
});

const slackSettings = {
  api_url: 'http://127.0.0.1:1/api',
  signing_secret: 'a-signing-secret',
  bot_token: 'xoxb-a-bot-token',
  channel: 'C0TEST',
};

type Sql = Cast['service']['database']['owner']['sql'];

async function newest(sql: Sql): Promise<string> {
  const [row] = await sql<{ id: string }[]>`select max(id) as id from event`;
  return row?.id ?? '';
}

/** Names of the events by the admin token after this one. */
async function since(sql: Sql, id: string): Promise<string[]> {
  const rows = await sql<{ type: string; leaf: string }[]>`
    select type, leaf from event where id > ${id} order by id`;
  return rows
    .filter(({ leaf }) => leaf.includes('"actor_chain":[{"id":"admin-token","type":"service"}]'))
    .map(({ type }) => type.replace(/^dev\.countersign\.(.+)\.v1$/, '$1'));
}
