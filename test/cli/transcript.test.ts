import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientCommands } from '../../cli/commands/client.ts';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { admin, list, person, text, vote, type TestPerson } from '../support/client.ts';
import { commandLine, stateFolder, type CommandLine } from '../support/command-line.ts';
import { startService, type TestService } from '../support/service.ts';
import { expectedShape, openShell, shapeOf, stepsOf, type Shell } from '../support/transcript.ts';

const markdown = await readFile(path.join(PACKAGE_ROOT, 'docs/cli.md'), 'utf8');

let service: TestService;
let line: CommandLine;
let shell: Shell;
let approver: TestPerson;

beforeAll(async () => {
  service = await startService();
  line = await commandLine();
  await stateFolder(line, service);
  approver = await person(service, 'Approver', ['data-owners', 'admins']);
  shell = openShell(line.folder, line.env);
});
afterAll(async () => {
  shell.close();
  await line.close();
  await service.close();
});

/** What the comments of the document stand for. Prints nothing. */
async function approveEverything(): Promise<string> {
  const waiting = await admin(service).call('GET', '/v1/requests?state=pending');
  for (const request of list(waiting.body['data'])) {
    const id = text(request['id']);
    expect((await vote(approver, id, 'approve')).status).toBe(201);
    await expect
      .poll(async () => {
        const seen = await admin(service).call('GET', `/v1/requests/${id}`);
        return seen.body['state'] === 'consumed' || seen.body['collectable'];
      })
      .toBe(true);
  }
  return '';
}

describe('docs/cli.md', () => {
  it.each(stepsOf(markdown))('line $line: $title', async ({ title, byPeople, expected }) => {
    const printed = byPeople ? await approveEverything() : await shell.type(title);
    expect(shapeOf(printed)).toBe(expectedShape(expected, printed));
  });

  it('names every command of the client', () => {
    const program = new Command();
    const silent = (): void => undefined;
    clientCommands(program, { env: {}, print: silent, note: silent, endWith: silent });
    const names = program.commands.flatMap((command) => [command, ...command.commands]);
    const isNamed = (name: string): boolean => new RegExp(`[\`$ ]${name}\\b`).test(markdown);
    expect(names.map((command) => command.name()).filter((name) => !isNamed(name))).toEqual([]);
  });
});
