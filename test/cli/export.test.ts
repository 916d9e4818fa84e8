import { afterAll, beforeAll, expect, it } from 'vitest';
import { anyone, eventually } from '../support/client.ts';
import { commandLine, type CommandLine } from '../support/command-line.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let line: CommandLine;

beforeAll(async () => {
  service = await startService();
  line = await commandLine();
});
afterAll(async () => {
  await line.close();
  await service.close();
});

it('an export to where nothing can be written ends in one sentence and says that it was misused', async () => {
  await eventually(async () => {
    const head = await anyone(service).call('GET', '/log/checkpoint');
    return head.status === 200;
  }, 'the first checkpoint');
  const ran = await line.run(['audit', 'export', '--out', 'nowhere/bundle.jsonl'], {
    COUNTERSIGN_URL: service.url,
    COUNTERSIGN_TOKEN: service.adminToken,
  });
  expect(ran.code).toBe(2);
  expect(ran.stdout).toBe('');
  expect(ran.stderr.trim().split('\n')).toEqual([
    'countersign: nowhere/bundle.jsonl cannot be written (ENOENT): name a file in a folder that is there.',
  ]);
});
