// Finds a Chromium for the tests of the console, wherever there is one.
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { chromium, type Browser } from 'playwright-core';

const run = promisify(execFile);

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];

/** What to do where there is none; tests that are skipped carry it in their name. */
export const HOW_TO_GET_CHROMIUM =
  'set CHROME_PATH to a Chromium, or run: npx playwright-core install chromium';

const isRunnable = (file: string): Promise<boolean> =>
  access(file, constants.X_OK).then(
    () => true,
    () => false,
  );

async function onPath(): Promise<string | null> {
  for (const folder of (process.env['PATH'] ?? '').split(path.delimiter))
    for (const name of NAMES) {
      const file = path.join(folder, name);
      if (folder !== '' && (await isRunnable(file))) return file;
    }
  return null;
}

/** Installing takes a minute or two, once. */
const INSTALL_MS = 240_000;

/** The system's own package, where we may install one. */
async function installed(): Promise<string | null> {
  if (process.getuid?.() !== 0) return null;
  try {
    await run('apt-get', ['-o', 'DPkg::Lock::Timeout=60', 'install', '-y', 'chromium'], {
      timeout: INSTALL_MS,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  } catch {
    return null;
  }
  return onPath();
}

/** CHROME_PATH, then PATH, then Playwright's own download, then the system's package; null without any. */
export async function findChromium(): Promise<string | null> {
  const given = process.env['CHROME_PATH'];
  if (given !== undefined && given !== '') {
    if (await isRunnable(given)) return given;
    throw new Error(`CHROME_PATH is ${given}, which cannot be run`);
  }
  const found = await onPath();
  if (found !== null) return found;
  const downloaded = chromium.executablePath();
  if (await isRunnable(downloaded)) return downloaded;
  return installed();
}

/** Starts it without anything that would talk to other sites. */
export const launchChromium = (executablePath: string): Promise<Browser> =>
  chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
