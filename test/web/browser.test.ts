// The console in a real browser: what people do on it, on a phone, in the dark, and without scripts.
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findChromium, HOW_TO_GET_CHROMIUM, launchChromium } from '../support/chromium.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  list,
  newKey,
  object,
  person,
  text,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { LOW_CONTRAST, OVERFLOW, SMALL_TARGETS } from '../support/contrast.ts';
import { startService, type TestService } from '../support/service.ts';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const DESKTOP = { viewport: { width: 1280, height: 900 } };

const executable = await findChromium();

it.runIf(process.env['CI'])('CI has a browser for the tests of the console', () => {
  expect(executable ?? HOW_TO_GET_CHROMIUM).toBe(executable);
});

describe.skipIf(executable === null)(
  `the console (in Chromium; without one ${HOW_TO_GET_CHROMIUM})`,
  () => {
    let service: TestService;
    let browser: Browser;
    let root: TestPerson;
    let owner: TestPerson;
    let approver: TestPerson;
    let agent: TestAgent;

    beforeAll(async () => {
      service = await startService();
      browser = await launchChromium(executable ?? '');
      root = await person(service, 'Ada', ['admins'], { roles: ['admin'] });
      owner = await person(service, 'Olga', ['data-owners']);
      approver = await person(service, 'Dana', ['data-owners']);
      agent = await admittedAgent(service, owner.id, root);
    });
    afterAll(async () => {
      await browser?.close();
      await service?.close();
    });

    async function open(who: TestPerson | null, options: BrowserContextOptions): Promise<Page> {
      const context = await browser.newContext({ baseURL: service.url, ...options });
      if (who) await addSession(context, who);
      return context.newPage();
    }

    async function addSession(context: BrowserContext, who: TestPerson): Promise<void> {
      const [name = '', value = ''] = who.cookie.split('=');
      await context.addCookies([{ name, value, url: service.url }]);
    }

    /** A request of the agent that waits for data owners. */
    async function held(reason: string): Promise<string> {
      const task = await agent.call('POST', '/v1/tasks', { purpose: reason, ttl_seconds: 600 });
      const reply = await askCredential(agent, text(task.body['id']), {
        role: 'orders-write',
        reason,
        seal_to: (await newKey()).publicJwk,
      });
      return text(object(reply.body['request'])['id']);
    }

    const stateOf = async (id: string): Promise<string> =>
      text((await admin(service).call('GET', `/v1/requests/${id}`)).body['state']);

    it('a person signs in with their link, and the same link works no second time', async () => {
      const invited = await admin(service).call('POST', '/v1/people', {
        name: 'Grace',
        roles: ['approver'],
        groups: [],
      });
      const link = new URL(text(invited.body['sign_in_url'])).pathname;
      const page = await open(null, PHONE);
      await page.goto('/requests');
      expect(new URL(page.url()).pathname).toBe('/sign-in');
      await page.goto(link);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.waitForURL('**/');
      expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Inbox');
      const again = await open(null, PHONE);
      expect((await again.goto(link))?.status()).toBe(410);
      expect(await again.getByRole('heading', { level: 1 }).textContent()).toContain('no longer');
    });

    it('an approver finds a request on a phone, reads it and approves it', async () => {
      const id = await held('refund order 7');
      const page = await open(approver, PHONE);
      await page.goto('/');
      await page.locator(`a[href="/requests/${id}"]`).first().tap();
      await page.waitForURL(`**/requests/${id}`);
      await expect(page.getByText('refund order 7').first().isVisible()).resolves.toBe(true);
      expect(await page.evaluate(OVERFLOW)).toBeLessThanOrEqual(0);
      expect(await page.evaluate(SMALL_TARGETS)).toEqual([]);
      // The way to the decision is on the screen from the start, and in nobody's way once it is there.
      const ahead = page.getByRole('link', { name: 'Decide' });
      const { y = PHONE.viewport.height } = (await ahead.boundingBox()) ?? {};
      expect(y).toBeLessThan(PHONE.viewport.height - 40);
      await ahead.tap();
      await page.getByRole('button', { name: 'Approve' }).tap();
      await page.getByText('Approved by Dana').first().waitFor();
      expect(['approved', 'consumed']).toContain(await stateOf(id));
      const votes = await admin(service).call('GET', `/v1/events?request=${id}&type=vote.cast`);
      const detail = object(object(list(votes.body['data'])[0]?.['data'])['detail']);
      expect(detail).toMatchObject({ channel: 'web', shown_covers_action: true });
      expect(detail['opened_at']).not.toBeNull();
    });

    it('a denial carries its reason and what to do to the agent', async () => {
      const id = await held('refund everything');
      const page = await open(approver, DESKTOP);
      await page.goto(`/requests/${id}`);
      await page.getByText('Deny…').click();
      await page.getByLabel('Reason').fill('one order, not all');
      await page.getByLabel('Change it and ask again').check();
      await page.getByRole('button', { name: 'Deny', exact: true }).click();
      await page.getByText('Denied by Dana').first().waitFor();
      const seen = await agent.call('GET', `/v1/requests/${id}`);
      expect(seen.body['denial']).toEqual({ reason: 'one order, not all', disposition: 'revise' });
    });

    it('I4: the owner of an agent is told why they may not decide, and a forced vote is refused', async () => {
      const id = await held('refund order 8');
      const page = await open(owner, PHONE);
      await page.goto(`/requests/${id}`);
      await page.getByText('Nobody approves for themselves').waitFor();
      expect(await page.getByRole('button', { name: 'Approve' }).count()).toBe(0);
      const { body } = await owner.call('GET', `/v1/requests/${id}`);
      const forced = await fetch(`${service.url}/requests/${id}`, {
        method: 'POST',
        headers: { cookie: owner.cookie },
        body: new URLSearchParams({
          csrf_token: owner.csrf,
          decision: 'approve',
          shown: text(body['shown']),
        }),
      });
      expect(forced.status).toBe(403);
      expect(await forced.text()).toContain('somebody else has to decide');
      expect(await stateOf(id)).toBe('pending');
      const refused = await admin(service).call(
        'GET',
        `/v1/events?request=${id}&type=vote.refused`,
      );
      expect(list(refused.body['data'])).toHaveLength(1);
    });

    it('a vote on a card that is not the one shown is refused, and the page shows what is', async () => {
      const id = await held('refund order 9');
      const stale = await fetch(`${service.url}/requests/${id}`, {
        method: 'POST',
        headers: { cookie: approver.cookie },
        body: new URLSearchParams({
          csrf_token: approver.csrf,
          decision: 'approve',
          shown: `sha256:${'0'.repeat(64)}`,
          reason: 'looks fine',
        }),
      });
      expect(stale.status).toBe(409);
      const html = await stale.text();
      const { body } = await approver.call('GET', `/v1/requests/${id}`);
      expect(html).toContain(`name="shown" value="${text(body['shown'])}"`);
      expect(html).toContain('looks fine');
    });

    it('deciding and inviting work without scripts, and a reload invites nobody twice', async () => {
      const id = await held('refund order 10');
      const page = await open(approver, { ...PHONE, javaScriptEnabled: false });
      await page.goto(`/requests/${id}`);
      await page.getByRole('button', { name: 'Approve' }).tap();
      await page.getByText('Approved by Dana').first().waitFor();
      const asAdmin = await open(root, { ...DESKTOP, javaScriptEnabled: false });
      await asAdmin.goto('/people');
      await asAdmin.getByLabel('Name', { exact: true }).fill('Lin');
      await asAdmin.getByRole('button', { name: 'Invite' }).click();
      const link = await asAdmin.getByLabel('Sign-in link').textContent();
      expect(link).toMatch(/\/sign-in\/[\w-]{43}/);
      await asAdmin.reload();
      expect(await asAdmin.getByLabel('Sign-in link').textContent()).toBe(link);
      const people = await admin(service).call('GET', '/v1/people');
      expect(list(people.body['data']).filter((each) => each['name'] === 'Lin')).toHaveLength(1);
    });

    it('a line of a review is revoked on the page, and shown as gone when it is seen gone', async () => {
      const task = await agent.call('POST', '/v1/tasks', { purpose: 'read', ttl_seconds: 600 });
      const given = await askCredential(agent, text(task.body['id']), {
        role: 'orders-readonly',
        seal_to: (await newKey()).publicJwk,
      });
      const page = await open(root, DESKTOP);
      await page.goto('/reviews');
      await page.getByLabel('Title').fill('Autumn');
      await page.getByRole('button', { name: 'Open it' }).click();
      await page.waitForURL('**/reviews/rvw_*');
      const line = page.getByRole('row', { name: /orders-readonly/ }).first();
      await line.getByText('Revoke…').click();
      await line.getByLabel('Reason (optional)').fill('no longer needed');
      await line.getByRole('button', { name: 'Revoke orders-readonly' }).click();
      await page.getByText('no longer needed').waitFor();
      await eventually(async () => {
        await page.reload();
        return (await page.getByText(/^seen gone/).count()) === 1;
      }, 'the revocation seen done');
      const seen = await agent.call('GET', `/v1/credentials/${text(given.body['id'])}`);
      expect(seen.body['state']).toBe('revoked');
    });

    const strings = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

    async function addresses(): Promise<string[]> {
      const id = await held('look at every page');
      const seen = await admin(service).call('GET', `/v1/requests/${id}`);
      const context = object(object(seen.body['action'])['context']);
      const reviews = await admin(service).call('GET', '/v1/reviews');
      const review = text(list(reviews.body['data'])[0]?.['id']);
      const events = await admin(service).call('GET', `/v1/events?request=${id}`);
      const event = text(list(events.body['data'])[0]?.['id']);
      await eventually(
        async () => (await fetch(`${service.url}/log/proof/${event}`)).status === 200,
      );
      await admin(service).call('POST', '/v1/discovery', {});
      const found = await admin(service).call('GET', '/v1/discovery');
      const identity = text(list(found.body['data'])[0]?.['id']);
      return [
        ...[
          '/',
          '/requests',
          '/agents',
          '/people',
          '/controls',
          '/reviews',
          '/me',
          '/on-duty',
          '/findings',
          '/discovery',
          '/leaks',
          '/log',
          '/policy',
        ],
        ...[
          '/docs',
          '/people/' + owner.id,
          '/agents/' + agent.id,
          '/tasks/' + text(context['task']),
        ],
        '/discovery/' + identity,
        ...['/requests/' + id, '/controls/orders-write', '/reviews/' + review, '/log/' + event],
      ];
    }

    it('no page breaks its content security policy, logs an error, overflows a phone or is hard to read', async () => {
      const paths = await addresses();
      const found: { where: string; wrong: string[] }[] = [];
      for (const options of [PHONE, DESKTOP])
        for (const colorScheme of ['light', 'dark'] as const) {
          const page = await open(root, { ...options, colorScheme });
          const errors: string[] = [];
          page.on('console', (message) => {
            if (['error', 'warning'].includes(message.type())) errors.push(message.text());
          });
          page.on('pageerror', (error) => errors.push(error.message));
          for (const path of paths) {
            const status = (await page.goto(path))?.status();
            const wider = Number(await page.evaluate(OVERFLOW));
            found.push({
              where: `${path} ${options.viewport.width} ${colorScheme}`,
              wrong: [
                ...(status === 200 ? [] : [`answered ${status}`]),
                ...(wider > 0 ? [`${wider} px too wide`] : []),
                ...errors.splice(0),
                ...strings(await page.evaluate(LOW_CONTRAST)),
                ...strings(options === PHONE ? await page.evaluate(SMALL_TARGETS) : []),
              ],
            });
          }
          await page.context().close();
        }
      expect(found).toHaveLength(paths.length * 4);
      expect(found.filter(({ wrong }) => wrong.length > 0)).toEqual([]);
    }, 120_000);

    it('pages for people without the role say so instead of showing anything', async () => {
      const page = await open(approver, DESKTOP);
      for (const path of ['/people', '/discovery', '/leaks', '/log', '/controls/orders-write']) {
        expect((await page.goto(path))?.status()).toBe(403);
        expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Not for you');
      }
    });
  },
);
