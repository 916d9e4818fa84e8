// Passkeys in a real browser, with an authenticator that the browser itself plays: added, signed in with, decided with.
import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import { findChromium, HOW_TO_GET_CHROMIUM, launchChromium } from '../support/chromium.ts';
import { object, person, text, type TestPerson } from '../support/client.ts';
import { LOW_CONTRAST, OVERFLOW, SMALL_TARGETS } from '../support/contrast.ts';
import { activateRoles } from '../support/policies.ts';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

const executable = await findChromium();

describe.skipIf(executable === null)(
  `passkeys (in Chromium; without one ${HOW_TO_GET_CHROMIUM})`,
  () => {
    let cast: Cast;
    let browser: Browser;
    /** Passkeys are bound to a name, so the pages are opened by that. */
    let home: string;

    beforeAll(async () => {
      cast = await startCast();
      home = cast.service.publicUrl;
      const route = '  groups: [data-owners]\n  strength: passkey\n';
      await activateRoles(cast, [{ name: 'strong', routes: { strong: route } }]);
      browser = await launchChromium(executable ?? '');
    });
    afterAll(async () => {
      await browser?.close();
      await cast?.close();
    });

    interface Opened {
      page: Page;
      context: BrowserContext;
      devtools: CDPSession;
      authenticator: string;
      errors: string[];
    }

    async function open(
      who: TestPerson | null,
      options: { at?: string; scripts?: boolean; verifies?: boolean } = {},
    ): Promise<Opened> {
      const at = options.at ?? home;
      const context = await browser.newContext({
        baseURL: at,
        ...PHONE,
        javaScriptEnabled: options.scripts ?? true,
      });
      if (who) {
        const [name = '', value = ''] = who.cookie.split('=');
        await context.addCookies([{ name, value, url: at }]);
      }
      const page = await context.newPage();
      const errors: string[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error') errors.push(message.text());
      });
      page.on('pageerror', (error) => errors.push(error.message));
      const devtools = await context.newCDPSession(page);
      await devtools.send('WebAuthn.enable');
      const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
        options: {
          protocol: 'ctap2',
          transport: 'internal',
          hasResidentKey: true,
          hasUserVerification: true,
          isUserVerified: options.verifies ?? true,
          automaticPresenceSimulation: true,
        },
      });
      return { page, context, devtools, authenticator: authenticatorId, errors };
    }

    async function addPasskey({ page }: Opened): Promise<void> {
      await page.goto('/me');
      await page.getByLabel('Name').fill('Phone');
      await page.getByRole('button', { name: 'Add a passkey' }).tap();
      await page.getByText('stays on one device').waitFor();
    }

    const strange = async (): Promise<string> =>
      (await hold(cast.agent, cast.seal, { role: 'strong' })).request;
    const stateOf = async (request: string) => (await seen(cast.service, request))['state'];

    it('somebody adds one on a phone, and decides with it by what the page says they sign', async () => {
      const who = await person(cast.service, 'Dana', ['data-owners']);
      const opened = await open(who);
      const { page } = opened;
      const request = await strange();
      await page.goto(`/requests/${request}`);
      await page.getByText('you have none yet').waitFor();
      await page.getByRole('link', { name: 'Add a passkey' }).tap();
      await page.waitForURL(/\/me/);
      await addPasskey(opened);
      await page.goto(`/requests/${request}`);
      await page.getByText('What you sign:').first().waitFor();
      expect(await page.evaluate(OVERFLOW)).toBeLessThanOrEqual(0);
      expect(await page.evaluate(SMALL_TARGETS)).toEqual([]);
      expect(await page.evaluate(LOW_CONTRAST)).toEqual([]);
      await page.locator('#approve-reason').fill('looked at it,\nline by line');
      await page.getByRole('button', { name: 'Sign and approve' }).tap();
      await page.getByText('Approved by Dana').first().waitFor();
      expect(['approved', 'consumed']).toContain(await stateOf(request));
      const [vote] = await detailsOf(cast.service, request, 'vote.cast');
      expect(vote).toMatchObject({ channel: 'web', strength: 'passkey' });
      expect(object(object(vote?.['step_up'])['statement'])).toMatchObject({ request });
      expect(opened.errors).toEqual([]);
    });

    it('approving less is signed as the much that is left', async () => {
      const who = await person(cast.service, 'Nora', ['data-owners']);
      const opened = await open(who);
      await addPasskey(opened);
      const { page } = opened;
      const request = await strange();
      await page.goto(`/requests/${request}`);
      await page.getByText('Approve less…').tap();
      await page.locator('#narrow-ttl').fill('60');
      await page.getByRole('button', { name: 'Show what changes' }).tap();
      await page.getByText('as far as you leave it').first().waitFor();
      expect(await page.evaluate(OVERFLOW)).toBeLessThanOrEqual(0);
      await page.getByRole('button', { name: 'Sign and approve this much' }).tap();
      await page.getByText('Approved by Nora').first().waitFor();
      const [vote] = await detailsOf(cast.service, request, 'vote.cast');
      expect(vote).toMatchObject({ strength: 'passkey', narrows: true });
      expect(object(object(vote?.['step_up'])['statement'])['limits']).toMatch(/^sha256:/);
      expect(object((await seen(cast.service, request))['narrowed'])['limits']).toMatchObject({
        ttl_seconds: 60,
      });
      expect(opened.errors).toEqual([]);
    });

    it('a denial is signed with its reason and what the agent should do', async () => {
      const who = await person(cast.service, 'Dora', ['data-owners']);
      const opened = await open(who);
      await addPasskey(opened);
      const { page } = opened;
      const request = await strange();
      await page.goto(`/requests/${request}`);
      await page.getByText('Deny…').tap();
      await page.getByLabel('Reason').fill('one order, not all');
      await page.getByLabel('Stop: do not ask again').check();
      await page.getByRole('button', { name: 'Sign and deny' }).tap();
      await page.getByText('Denied by Dora').first().waitFor();
      const [vote] = await detailsOf(cast.service, request, 'vote.cast');
      expect(object(object(vote?.['step_up'])['statement'])).toMatchObject({
        decision: 'deny',
        disposition: 'stop',
      });
    });

    it('somebody signs in with one, without a link, and lands where they wanted to go', async () => {
      const who = await person(cast.service, 'Sina', ['data-owners']);
      const opened = await open(who);
      await addPasskey(opened);
      const { page, context } = opened;
      await context.clearCookies();
      await page.goto('/requests');
      await page.getByRole('button', { name: 'Use a passkey' }).tap();
      await page.waitForURL('**/requests');
      await page.goto('/me');
      await page.getByText('with a passkey, just now').waitFor();
      // Signed in with one, they may add another, on another authenticator.
      await page.getByRole('button', { name: 'Add a passkey' }).waitFor();
      expect(await page.evaluate(OVERFLOW)).toBeLessThanOrEqual(0);
      expect(await page.evaluate(SMALL_TARGETS)).toEqual([]);
      await page.getByText('Remove…').tap();
      await page.getByRole('button', { name: 'Remove this passkey' }).tap();
      await page.getByText('You have no passkey').waitFor();
    });

    it('an authenticator that does not check who is there decides nothing', async () => {
      const who = await person(cast.service, 'Uma', ['data-owners']);
      const opened = await open(who);
      await addPasskey(opened);
      const { page, devtools, authenticator } = opened;
      const request = await strange();
      await devtools.send('WebAuthn.setUserVerified', {
        authenticatorId: authenticator,
        isUserVerified: false,
      });
      await page.goto(`/requests/${request}`);
      await page.getByRole('button', { name: 'Sign and approve' }).tap();
      await page.getByText('Nothing was signed').first().waitFor();
      expect(await stateOf(request)).toBe('pending');
    });

    it('a page opened by number says by which name passkeys work', async () => {
      const who = await person(cast.service, 'Nia', ['data-owners']);
      const { page } = await open(who, { at: cast.service.url });
      await page.goto('/me');
      await page.getByLabel('Name').fill('Phone');
      await page.getByRole('button', { name: 'Add a passkey' }).tap();
      await page.getByText(`Passkeys work only at ${home}`).waitFor();
      expect((await who.call('GET', '/v1/session/passkeys')).body['data']).toEqual([]);
    });

    it('without scripts it says that they are needed, and what is sent unsigned is refused', async () => {
      const who = await person(cast.service, 'Ned', ['data-owners']);
      const opened = await open(who);
      await addPasskey(opened);
      const request = await strange();
      const { page } = await open(who, { scripts: false });
      await page.goto(`/requests/${request}`);
      await page.getByText('a passkey takes scripts').first().waitFor();
      await page.getByRole('button', { name: 'Sign and approve' }).tap();
      await page.getByText('signed with a passkey only').first().waitFor();
      expect(await stateOf(request)).toBe('pending');
      await page.goto('/me');
      expect(await page.getByRole('button', { name: 'Add a passkey' }).count()).toBe(0);
    });

    it('the forms of the console take nothing that is not what a passkey sends', async () => {
      const who = await person(cast.service, 'Faye', ['data-owners']);
      const request = await strange();
      const shown = text((await who.call('GET', `/v1/requests/${request}`)).body['shown']);
      for (const passkey of ['nonsense', '[]', '{}', '{"credential":"x"}']) {
        const sent = await fetch(`${cast.service.url}/requests/${request}`, {
          method: 'POST',
          headers: { cookie: who.cookie },
          body: new URLSearchParams({
            csrf_token: who.csrf,
            decision: 'approve',
            shown,
            passkey,
          }),
        });
        expect(sent.status).toBe(400);
      }
      expect(await stateOf(request)).toBe('pending');
    });
  },
);
