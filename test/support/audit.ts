// `countersign audit` inside the test's own process: the command itself, and the exit code it would end with.
import { createHash } from 'node:crypto';
import { Command } from 'commander';
import { auditCommands } from '../../cli/commands/audit.ts';
import { endingOf } from '../../cli/exit.ts';
import { canonicalJson } from '../../domain/json.ts';

export interface Audited {
  code: number;
  said: string;
}

/** Runs `countersign audit <args>`. */
export async function audit(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Audited> {
  let code = 0;
  let said = '';
  const say = (line: string): void => void (said += `${line}\n`);
  const program = new Command('countersign')
    .exitOverride()
    .configureOutput({ writeOut: say, writeErr: say });
  auditCommands(program, { env, print: say, note: say, endWith: (exitCode) => (code = exitCode) });
  try {
    await program.parseAsync(['audit', ...args], { from: 'user' });
  } catch (error) {
    const { exitCode, line } = endingOf(error);
    say(line ?? '');
    code = exitCode;
  }
  return { code, said };
}

/** The lines of a bundle with the digest that fits them, as a forger would write it. */
export function sealed(lines: readonly string[]): string {
  const body = lines.map((line) => `${line}\n`).join('');
  const sha256 = createHash('sha256').update(body).digest('hex');
  return `${body}${canonicalJson({ sha256 })}\n`;
}
