// Taking the record away, and checking it where no server can help or hinder.
import type { Command } from 'commander';
import { findServer } from '../endpoint.ts';
import { EXIT, UsageError } from '../exit.ts';
import { time } from './command.ts';
import { asAutomation } from './session.ts';
import type { Terminal } from './terminal.ts';

interface ExportFlags {
  out: string;
  from?: string;
  to?: string;
}

interface VerifyFlags {
  key?: string;
  earlier?: string;
}

export function auditCommands(program: Command, terminal: Terminal): void {
  const audit = program
    .command('audit')
    .description('the record, to take away and to check offline');
  audit
    .command('export')
    .description('write every leaf, the signed checkpoint and all verdicts into one file')
    .requiredOption('--out <file>', 'where to write it')
    .option('--from <time>', 'the beginning of the period of the verdicts', time)
    .option('--to <time>', 'its end', time)
    .action((flags: ExportFlags) => exportAudit(terminal, flags));
  audit
    .command('verify <file>')
    .description('check a bundle without a server, a network or a database')
    .option('--key <vkey>', 'the verifier key as you know it, or a file with it')
    .option('--earlier <file>', 'a checkpoint you kept: the log must still begin with it')
    .action((file: string, flags: VerifyFlags) => verifyAudit(terminal, file, flags));
}

async function exportAudit(terminal: Terminal, flags: ExportFlags): Promise<void> {
  const { exportBundle } = await import('../audit.ts');
  const { url } = await findServer(terminal.env);
  const token = await (await asAutomation(terminal)).accessToken();
  const { size, controls } = await exportBundle({ read: (path) => read(url, token, path) }, flags);
  terminal.print(`${flags.out}: ${size} entries, and the verdict on ${controls.join(', ')}.`);
}

async function read(url: string, token: string, path: string): Promise<Buffer> {
  const response = await fetch(new URL(path, url), {
    headers: { authorization: `Bearer ${token}` },
    redirect: 'error',
  }).catch((cause: unknown) => {
    throw new UsageError(`${url} cannot be reached.`, { cause });
  });
  if (!response.ok) throw new UsageError(`${url}${path} answered ${response.status}.`);
  return Buffer.from(await response.arrayBuffer());
}

/** Exit 0 only if everything holds; 1 says that it does not verify. */
async function verifyAudit(terminal: Terminal, file: string, flags: VerifyFlags): Promise<void> {
  const { verifyFile } = await import('../audit.ts');
  const { ok, lines } = await verifyFile(file, flags);
  for (const line of lines) terminal.print(line);
  if (!ok) terminal.endWith(EXIT.failed);
}
