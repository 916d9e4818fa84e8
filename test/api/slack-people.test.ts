// Who somebody in Slack is here, how that came to be, and what strangers learn.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { detailsOf, seen } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  object,
  person,
  text,
  type TestPerson,
} from '../support/client.ts';
import { carded, reaches, refusalsOf, startSlackCast, type SlackCast } from '../support/slack.ts';

let cast: SlackCast;
let dana: TestPerson;

beforeAll(async () => {
  cast = await startSlackCast();
  dana = await person(cast.service, 'Dana', ['data-owners'], { email: 'dana@example.com' });
});
afterAll(() => cast.close());

/** What /countersign answers, which is seen by its user alone. */
async function answer(words: string, user: string): Promise<string> {
  const before = cast.slack.received.length;
  expect(await cast.slack.command(words, user)).toBe(200);
  let found: string | undefined;
  await eventually(() => {
    found = cast.slack.received.slice(before).find((body) => body.includes('"ephemeral"'));
    return Promise.resolve(found !== undefined);
  }, 'an answer');
  return found ?? '';
}

/** The one-time address that a Slack user is given. */
async function offer(user: string): Promise<string> {
  const said = await answer('link', user);
  return /link-slack\/([\w-]+)/.exec(said)?.[1] ?? '';
}

const bindingOf = async (who: TestPerson): Promise<(string | null)[]> => {
  const [row] = await cast.service.database.owner.sql<
    { user: string | null; binding: string | null }[]
  >`select slack_user_id as user, slack_binding as binding from person where id = ${who.id}`;
  return [row?.user ?? null, row?.binding ?? null];
};

const pageOf = (who: TestPerson | null, token: string, form?: JsonObject): Promise<Response> =>
  fetch(`${cast.service.url}/link-slack/${token}`, {
    redirect: 'manual',
    ...(who && { headers: { cookie: who.cookie } }),
    ...(form && {
      method: 'POST',
      body: new URLSearchParams({ csrf_token: text(form['csrf_token']) }),
    }),
  });

describe('unlinking', () => {
  it('is a button on one’s own page; nothing that Slack user says counts any more', async () => {
    const lou = await person(cast.service, 'Lou', ['data-owners'], { slack_user_id: 'U0LOU' });
    const page = `${cast.service.url}/me`;
    const headers = { cookie: lou.cookie };
    expect(await (await fetch(page, { headers })).text()).toContain('U0LOU');
    const unlink = (csrf: string): Promise<Response> =>
      fetch(`${page}/slack/unlink`, {
        ...{ method: 'POST', headers, redirect: 'manual' },
        body: new URLSearchParams({ csrf_token: csrf }),
      });
    expect((await unlink('forged')).status).toBe(403);
    expect(await bindingOf(lou)).toEqual(['U0LOU', 'set_by_admin']);
    expect((await unlink(lou.csrf)).status).toBe(303);
    expect(await bindingOf(lou)).toEqual([null, null]);
    expect(await (await fetch(page, { headers })).text()).not.toContain('U0LOU');
  });
});

describe('linking', () => {
  it('takes the person, signed in, on a page that shows whom they say they are', async () => {
    cast.slack.addUser('U0DANA', {
      real_name: 'Dana in Slack',
      profile: { email: 'Dana@Example.com' },
    });
    const token = await offer('U0DANA');
    const stranger = await pageOf(null, token);
    expect([stranger.status, stranger.headers.get('location')]).toEqual([
      303,
      `/sign-in?next=${encodeURIComponent(`/link-slack/${token}`)}`,
    ]);
    const shown = await (await pageOf(dana, token)).text();
    expect(shown).toContain('Dana in Slack');
    expect(shown).toContain('U0DANA');
    expect(shown).toContain('T0TEAM');
    // Looking does nothing, however often.
    expect(await bindingOf(dana)).toEqual([null, null]);
    expect((await pageOf(dana, token, { csrf_token: 'forged' })).status).toBe(403);
    expect(await bindingOf(dana)).toEqual([null, null]);
    expect((await pageOf(dana, token, { csrf_token: dana.csrf })).status).toBe(200);
    expect(await bindingOf(dana)).toEqual(['U0DANA', 'linked']);
    const events = await admin(cast.service).call('GET', '/v1/events?type=person.slack_linked');
    const [event] = list(events.body['data']).map((each) => object(each['data']));
    expect(event).toMatchObject({ human: dana.id, detail: { binding: 'linked' } });
    // Once: neither the page nor the API takes it again.
    expect((await pageOf(dana, token, { csrf_token: dana.csrf })).status).toBe(410);
    const again = await dana.call('PUT', '/v1/session/slack', { token });
    expect(again.body['code']).toBe('link_used');
  });

  it('and then a click is that person’s vote, which says how it is known to be', async () => {
    const { id, message } = await carded(cast);
    await cast.slack.click(message, 'approve', 'U0DANA');
    await reaches(cast, id, 'approved', 'consumed');
    expect(await detailsOf(cast.service, id, 'vote.cast')).toEqual([
      expect.objectContaining({ person: dana.id, channel: 'slack', slack_binding: 'linked' }),
    ]);
  });

  it('one Slack user is one person, both ways', async () => {
    const other = await person(cast.service, 'Otto', ['data-owners']);
    const taken = await offer('U0DANA');
    const refused = await other.call('PUT', '/v1/session/slack', { token: taken });
    expect([refused.status, refused.body['code']]).toEqual([409, 'slack_user_taken']);
    // Dana takes another Slack user: the first is nobody's any more.
    const moved = await dana.call('PUT', '/v1/session/slack', { token: await offer('U0DANA2') });
    expect(moved.body).toEqual({ slack_user_id: 'U0DANA2', binding: 'linked' });
    const { id, message } = await carded(cast);
    await cast.slack.click(message, 'approve', 'U0DANA');
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(await refusalsOf(cast, id)).toEqual(['human_required']);
    await dana.call('PUT', '/v1/session/slack', { token: await offer('U0DANA') });
  });

  it('is refused where Slack knows its user by another address than we do', async () => {
    cast.slack.addUser('U0MALLORY', { real_name: 'Dana', profile: { email: 'm@evil.example' } });
    const token = await offer('U0MALLORY');
    const refused = await dana.call('PUT', '/v1/session/slack', { token });
    expect([refused.status, refused.body['code']]).toEqual([409, 'slack_user_differs']);
    expect((await pageOf(dana, token)).status).toBe(409);
    expect(await bindingOf(dana)).toEqual(['U0DANA', 'linked']);
  });

  it('a newer address ends the one before, an old one is dead, and an unknown one is none', async () => {
    const first = await offer('U0FRESH');
    const second = await offer('U0FRESH');
    const refused = await dana.call('PUT', '/v1/session/slack', { token: first });
    expect(refused.status).toBe(404);
    await cast.service.database.owner.sql`
      update slack_link set expires_at = now() - interval '1 second'`;
    const late = await dana.call('PUT', '/v1/session/slack', { token: second });
    expect([late.status, late.body['code']]).toEqual([410, 'link_expired']);
    expect((await dana.call('PUT', '/v1/session/slack', { token: 'x' })).status).toBe(404);
  });

  it('no agent and no admin token links anybody', async () => {
    const token = await offer('U0ROBOT');
    const body = { token };
    expect((await cast.agent.call('PUT', '/v1/session/slack', body)).status).toBe(403);
    expect((await admin(cast.service).call('PUT', '/v1/session/slack', body)).status).toBe(403);
  });

  it('is taken back from Slack or here, and then clicks are a stranger’s', async () => {
    expect(await answer('unlink', 'U0DANA')).toContain('no longer linked');
    expect(await bindingOf(dana)).toEqual([null, null]);
    const { id, message } = await carded(cast);
    await cast.slack.click(message, 'approve', 'U0DANA');
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
    await dana.call('PUT', '/v1/session/slack', { token: await offer('U0DANA') });
    expect((await dana.call('DELETE', '/v1/session/slack')).status).toBe(204);
    expect(await bindingOf(dana)).toEqual([null, null]);
  });
});

describe('somebody who left', () => {
  it('in Slack: their user is nobody’s from then on', async () => {
    await dana.call('PUT', '/v1/session/slack', { token: await offer('U0DANA') });
    await cast.slack.tell({ type: 'user_change', user: { id: 'U0DANA', deleted: false } });
    await cast.slack.tell({ type: 'user_change', user: { id: 'U0DANA', deleted: true } });
    await eventually(async () => (await bindingOf(dana))[0] === null, 'the binding to go');
    const { body } = await admin(cast.service).call('GET', '/v1/events?type=person.slack_unlinked');
    const last = list(body['data']).at(-1);
    expect(object(object(last?.['data'])['detail'])['because']).toBe('slack_user_deactivated');
  });

  it('here: their clicks count for nothing, and they are shown nothing', async () => {
    const gone = await person(cast.service, 'Gert', ['data-owners'], { slack_user_id: 'U0GERT' });
    const { id, message } = await carded(cast);
    expect(await answer('status', 'U0GERT')).toContain('wait for you');
    await admin(cast.service).call('PATCH', `/v1/people/${gone.id}`, { state: 'deactivated' });
    expect(await answer('status', 'U0GERT')).toContain('not linked');
    await cast.slack.click(message, 'approve', 'U0GERT');
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(await refusalsOf(cast, id)).toEqual(['not_eligible']);
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
  });
});

describe('an e-mail address', () => {
  const full = (email: string, more: JsonObject = {}): JsonObject => ({
    is_email_confirmed: true,
    profile: { email },
    ...more,
  });

  /** Clicks as a Slack user whom nobody linked; answers the codes of the refusals. */
  async function clickAs(user: string): Promise<string[]> {
    const { id, message } = await carded(cast);
    await cast.slack.click(message, 'approve', user);
    let refusals: string[] = [];
    await eventually(async () => {
      refusals = await refusalsOf(cast, id);
      return refusals.length > 0 || text((await seen(cast.service, id))['state']) !== 'pending';
    }, 'a vote or a refusal');
    if (refusals.length > 0) return refusals;
    const [cast_] = await detailsOf(cast.service, id, 'vote.cast');
    return [`voted by ${text(cast_?.['slack_binding'])}`];
  }

  it('makes nobody known unless the settings say so', async () => {
    cast.slack.addUser('U0MAIL', full('dana@example.com'));
    expect(await clickAs('U0MAIL')).toEqual(['human_required']);
  });

  it('does where they say so, and the vote says that it was only that', async () => {
    await cast.connect({ match_email: true });
    expect(await clickAs('U0MAIL')).toEqual(['voted by email_match']);
  });

  it.each([
    ['of another workspace', full('dana@example.com', { team_id: 'T0ELSEWHERE' })],
    ['that nobody confirmed', { profile: { email: 'dana@example.com' } }],
    ['of a guest', full('dana@example.com', { is_restricted: true })],
    ['of a bot', full('dana@example.com', { is_bot: true })],
    ['of a deactivated user', full('dana@example.com', { deleted: true })],
    ['that nobody here has', full('nobody@example.com')],
    ['that is none', full('')],
  ])('%s is nobody’s', async (_whose, user) => {
    cast.slack.addUser('U0WEAK', user);
    expect(await clickAs('U0WEAK')).toEqual(['human_required']);
  });

  it('is no second Slack user of somebody who has one', async () => {
    await dana.call('PUT', '/v1/session/slack', { token: await offer('U0DANA') });
    expect(await clickAs('U0MAIL')).toEqual(['human_required']);
    await dana.call('DELETE', '/v1/session/slack');
  });

  it('is nobody’s without the scope to read it', async () => {
    cast.slack.scopes.delete('users:read.email');
    expect(await clickAs('U0MAIL')).toEqual(['human_required']);
    cast.slack.scopes.add('users:read.email');
    await cast.connect();
  });
});

describe('/countersign', () => {
  it('tells a stranger nothing but how to be known', async () => {
    const { id } = await carded(cast, 'a very secret reason');
    for (const words of ['status', '', `search ${id}`, 'search orders', 'unlink']) {
      const said = await answer(words, 'U0STRANGER');
      expect(said).toContain('not linked');
      expect(said).not.toContain('req_');
    }
    expect(await answer('help', 'U0STRANGER')).toContain('/countersign link');
    expect(await answer('approve everything', 'U0STRANGER')).toContain('/countersign link');
  });

  it('says what waits for its user, and finds requests', async () => {
    const { id } = await carded(cast);
    await cast.service.database.owner.sql`
      update request set expires_at = now() + interval '4 minutes' where id = ${id}`;
    const status = await answer('status', 'U0ADA');
    expect(status).toContain(id);
    expect(status).toContain(`/requests/${id}`);
    expect(await answer(`search ${id.slice(-8)}`, 'U0ADA')).toContain(id);
    expect(await answer('search orders-write', 'U0ADA')).toContain('req_');
    // What stands for "anything" in a pattern stands for itself here.
    expect(await answer('search %%', 'U0ADA')).toContain('0 found');
    expect(await answer('search __', 'U0ADA')).toContain('0 found');
    expect(await answer('status', 'U0OLGA')).toContain('Nothing waits for you');
  });
});

describe('the home tab', () => {
  const homeOf = async (user: string): Promise<string> => {
    cast.slack.homes.delete(user);
    await cast.slack.tell({ type: 'app_home_opened', user, tab: 'home' });
    await eventually(() => Promise.resolve(cast.slack.homes.has(user)), 'a home tab');
    return JSON.stringify(cast.slack.homes.get(user));
  };

  it('shows what waits, what ends first at the top, within Slack’s hundred blocks', async () => {
    const first = await carded(cast);
    await cast.service.database.owner.sql`
      update request set expires_at = now() + interval '3 minutes' where id = ${first.id}`;
    const shown = await homeOf('U0ADA');
    const ids = [...shown.matchAll(/"value":"(req_\w+)"/g)].map(([, id]) => id);
    expect(ids[0]).toBe(first.id);
    expect(ids.length).toBeGreaterThan(5);
    expect(shown).not.toContain('"approve"');
    expect(cast.slack.refused.filter(({ method }) => method === 'views.publish')).toEqual([]);
  });

  it('shows a stranger a button with which to be known', async () => {
    const shown = await homeOf('U0STRANGER');
    expect(shown).not.toContain('req_');
    expect(await cast.slack.clickHome('link', 'U0STRANGER')).toBe(200);
    const told = await cast.slack.messageWith(
      ({ channel, text }) => channel === 'D0STRANGER' && text.includes('/link-slack/'),
    );
    expect(told.text).toContain('for you alone');
  });
});
