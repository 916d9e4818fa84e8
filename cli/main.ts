// The command line. Each command loads only what it needs: the server's parts weigh a hundred megabytes.
import { Command } from 'commander';
import { clientCommands } from './commands/client.ts';
import type { Terminal } from './commands/terminal.ts';
import { readConfig } from './config.ts';
import { endingOf, EXIT } from './exit.ts';
import { packageVersion } from './package.ts';
import type { Running } from './running.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Whether a command of the client has printed results, and not a running server its state. */
let hasResults = false;
process.stdout.on('error', (error: Error & { code?: string }) => {
  if (error.code !== 'EPIPE') throw error;
  // Whoever reads our results has seen enough: `countersign events --follow | head`.
  if (hasResults) process.exit(EXIT.ok);
});

const terminal: Terminal = {
  env: process.env,
  print: (line) => {
    hasResults = true;
    say(line);
  },
  note: (line) => void process.stderr.write(`${line}\n`),
  endWith: (exitCode) => (process.exitCode = exitCode),
};

/** Runs a process of ours until it is told to end, or its supervisor is gone. */
async function runUntilStopped(open: () => Promise<Running>): Promise<void> {
  const running = await open();
  const told = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    process.once('disconnect', () => resolve());
  });
  await Promise.race([told, running.failed]);
  await running.close();
}

const program = new Command('countersign')
  .description('Identities, short-lived credentials and human approvals for AI agents')
  .version(packageVersion())
  .showHelpAfterError('Add --help to see how it is used.')
  .configureOutput({
    outputError: (text, write) => write(text.replace(/^error: /, 'countersign: ')),
  })
  .exitOverride();

program
  .command('start')
  .description(
    'run everything on this machine, bringing up PostgreSQL and Temporal where none is configured',
  )
  .action(async () => {
    const { start } = await import('./start.ts');
    await start(process.env, say);
  });
program
  .command('serve')
  .description('run the API and the console')
  .action(async () => {
    const { serve } = await import('./serve.ts');
    await runUntilStopped(() => serve(readConfig(process.env)));
  });
program
  .command('worker')
  .description('run the workflows and the sequencer')
  .action(async () => {
    const { work } = await import('./worker.ts');
    await runUntilStopped(() => work(readConfig(process.env)));
  });
program
  .command('migrate')
  .description('make or update the database schema, the first policy and the Temporal namespace')
  .option('--admin-link', 'print only a link that lets the first administrator in once')
  .action(async (options: { adminLink?: boolean }) => {
    const config = readConfig(process.env);
    const { adminLink, migrate } = await import('./migrate.ts');
    await migrate(config);
    say(options.adminLink ? await adminLink(config) : 'The database is at this version.');
  });
program
  .command('admin-link')
  .description('print a link that lets the first administrator in once')
  .action(async () => {
    const { adminLink } = await import('./migrate.ts');
    say(await adminLink(readConfig(process.env)));
  });

program
  .command('demo')
  .description('play two teams’ work on the running server, and print both verdicts')
  .action(async () => {
    const { playDemo } = await import('./demo/index.ts');
    await playDemo(terminal);
  });

clientCommands(program, terminal);

/** Waits until what was printed is out: a pipe may still hold some of it. */
const printed = (): Promise<void> =>
  new Promise((resolve) => process.stdout.write('', () => resolve()));

try {
  await program.parseAsync();
} catch (error) {
  const { exitCode, line } = endingOf(error);
  if (line !== null) terminal.note(`countersign: ${line}`);
  terminal.endWith(exitCode);
}
await printed();
process.exit();
