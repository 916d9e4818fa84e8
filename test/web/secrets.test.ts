// Join tokens and stored secrets on the console, as a person meets them: on a phone and at a desk.
import { randomBytes } from 'node:crypto';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { activateAccess } from '../support/access.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import { findChromium, HOW_TO_GET_CHROMIUM, launchChromium } from '../support/chromium.ts';
import {
  admin,
  anyone,
  askCredential,
  newKey,
  person,
  text,
  vote,
  type TestPerson,
} from '../support/client.ts';
import { LOW_CONTRAST, OVERFLOW, SMALL_TARGETS } from '../support/contrast.ts';
import { tablesOf } from '../support/searching.ts';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const DESKTOP = { viewport: { width: 1280, height: 900 } };
const VALUE = `value-${randomBytes(16).toString('hex')}`;

const executable = await findChromium();

it.runIf(process.env['CI'])('CI has a browser for these pages', () => {
  expect(executable ?? HOW_TO_GET_CHROMIUM).toBe(executable);
});

describe.skipIf(executable === null)(
  `join tokens and secrets (in Chromium; without one ${HOW_TO_GET_CHROMIUM})`,
  () => {
    let cast: Cast;
    let browser: Browser;
    let root: TestPerson;
    let lease: string;
    let task: string;

    beforeAll(async () => {
      cast = await startCast();
      browser = await launchChromium(executable ?? '');
      root = await person(cast.service, 'Ria', ['engineering'], { roles: ['admin'] });
      await activateAccess(cast, {
        roles: {
          legacy: { issuer: 'static', secret: 'legacy-api', title: 'Legacy', rotate_days: 30 },
        },
      });
      for (const value of [`older-${VALUE}`, VALUE])
        await admin(cast.service).call('PUT', '/v1/static-secrets/legacy-api', { value });
      task = await startTask(cast.agent);
      const body = { role: 'legacy', seal_to: cast.seal.publicJwk };
      lease = text((await askCredential(cast.agent, task, body)).body['id']);
      await cast.agent.call('POST', `/v1/credentials/${lease}/deliveries`, {
        kind: 'file',
        path: '/var/run/secrets/legacy',
        host: 'worker-7',
      });
    });
    afterAll(async () => {
      await browser?.close();
      await cast?.close();
    });

    async function open(who: TestPerson, options: BrowserContextOptions): Promise<Page> {
      const context = await browser.newContext({ baseURL: cast.service.url, ...options });
      const [name = '', value = ''] = who.cookie.split('=');
      await context.addCookies([{ name, value, url: cast.service.url }]);
      return context.newPage();
    }

    const strings = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

    /** What is wrong with how a page looks, on a phone or at a desk. */
    async function flawsOf(page: Page): Promise<string[]> {
      const wider = Number(await page.evaluate(OVERFLOW));
      const isPhone = page.viewportSize()?.width === PHONE.viewport.width;
      return [
        ...(wider > 0 ? [`${wider} px too wide`] : []),
        ...strings(await page.evaluate(LOW_CONTRAST)),
        ...strings(isPhone ? await page.evaluate(SMALL_TARGETS) : []),
      ];
    }

    it.each([
      ['on a phone', PHONE],
      ['at a desk', DESKTOP],
    ])(
      'I5: a join token is asked for, says what it waits for, is shown once and kept nowhere (%s)',
      async (_where, options) => {
        const page = await open(root, options);
        await page.goto(`/agents/${cast.agent.id}`);
        await page.getByText('Make a join token').click();
        expect(await flawsOf(page)).toEqual([]);
        await page.getByRole('button', { name: 'Make it' }).click();
        await page.getByRole('heading', { level: 1, name: 'A join token' }).waitFor();
        expect(await flawsOf(page)).toEqual([]);
        const token = (await page.getByLabel('Join token').textContent())?.trim() ?? '';
        expect(token).toMatch(/^[\w-]{43}$/);
        const link = page.getByRole('link', { name: 'this request' });
        const request = (await link.getAttribute('href'))?.split('/').at(-1) ?? '';
        const join = async (key: Awaited<ReturnType<typeof newKey>>) =>
          anyone(cast.service).call('POST', '/v1/join', { token, key: key.publicJwk });
        const key = await newKey();
        expect((await join(key)).body['code']).toBe('join_not_approved');
        await page.goto(`/agents/${cast.agent.id}`);
        expect(await page.content()).not.toContain(token);
        expect(await page.locator(`a[href="/requests/${request}"]`).count()).toBeGreaterThan(0);
        expect(await tablesOf(cast.service)).not.toContain(token);
        await vote(cast.approver, request, 'approve');
        await expect.poll(async () => (await join(key)).status).toBe(201);
        expect((await join(await newKey())).body['code']).toBe('join_token_used');
      },
    );

    it.each([
      ['on a phone', PHONE],
      ['at a desk', DESKTOP],
    ])(
      'a secret shows who had it, where it was put, and when it is to be replaced, and never itself (%s)',
      async (_where, options) => {
        const page = await open(root, options);
        await page.goto(`/tasks/${task}`);
        await page.getByRole('link', { name: 'who had this secret' }).first().click();
        await page.getByRole('heading', { level: 1, name: 'legacy-api' }).waitFor();
        expect(new URL(page.url()).pathname).toBe('/secrets/legacy-api');
        expect(await flawsOf(page)).toEqual([]);
        const content = await page.content();
        for (const part of [
          cast.agent.name,
          '/var/run/secrets/legacy',
          'worker-7',
          'rotated',
          lease,
        ])
          expect(content).toContain(part);
        expect(content).not.toContain(VALUE);
        await page.goto('/secrets');
        expect(await flawsOf(page)).toEqual([]);
        await page.getByRole('link', { name: 'legacy-api' }).click();
        expect(await page.getByText('To be replaced').first().isVisible()).toBe(true);
      },
    );

    it('an ended loan is on the page as one, and the secret is due at once', async () => {
      await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
      const page = await open(root, DESKTOP);
      await page.goto('/secrets/legacy-api');
      await page.getByText('Somebody knows it whose lease is over').waitFor();
      expect(await page.getByText('due now: tainted').count()).toBe(1);
      expect(await flawsOf(page)).toEqual([]);
    });

    it('is nothing for people who may not audit, and nothing there is where there is no secret', async () => {
      const page = await open(cast.owner, DESKTOP);
      for (const path of ['/secrets', '/secrets/legacy-api', `/secrets/of/${lease}`])
        expect((await page.goto(path))?.status()).toBe(403);
      const audited = await open(root, DESKTOP);
      for (const path of ['/secrets/unknown', '/secrets/of/crd_nothing'])
        expect((await audited.goto(path))?.status()).toBe(404);
      await page.goto(`/agents/${cast.agent.id}`);
      expect(await page.getByText('Make a join token').count()).toBe(0);
    });
  },
);
