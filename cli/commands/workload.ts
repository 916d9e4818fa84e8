// Runs beside a workload and gives it the identity of its agent, by the SPIFFE Workload API.
import path from 'node:path';
import type { Command } from 'commander';
import { faultFields } from '../../commands/log-line.ts';
import { positive } from './command.ts';
import { agentOptions, asAgent, type AgentFlags } from './session.ts';
import type { Terminal } from './terminal.ts';

interface WorkloadFlags extends AgentFlags {
  socket: string;
  ttl: number;
  refresh: number;
}

export function workloadCommands(program: Command, terminal: Terminal): void {
  agentOptions(
    program
      .command('workload-api')
      .description('serve the SPIFFE Workload API for one agent, on a socket beside its workload'),
  )
    .option('--socket <path>', 'where to listen', '.countersign/workload/agent.sock')
    .option(
      '--ttl <seconds>',
      'how long an X.509-SVID lives; renewed at half of it',
      positive,
      1800,
    )
    .option('--refresh <seconds>', 'how often to ask the server what changed', positive, 5)
    .action((flags: WorkloadFlags) => serve(terminal, flags));
}

async function serve(terminal: Terminal, flags: WorkloadFlags): Promise<void> {
  const client = await asAgent(terminal, flags);
  const { openIdentity } = await import('../workload/identity.ts');
  const { serveWorkloadApi } = await import('../workload/server.ts');
  const { closeToOthers, prepareSocket } = await import('../workload/socket.ts');
  const socket = path.resolve(flags.socket);
  await prepareSocket(socket);
  let said = '';
  const identity = openIdentity({
    client,
    refreshSeconds: flags.refresh,
    ttlSeconds: flags.ttl,
    onFault: (error) => {
      const { message = '' } = faultFields(error);
      // Said once, and not at every round until it passes.
      if (message !== said) terminal.note(`countersign: ${String(message)}`);
      said = String(message);
    },
  });
  const told = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  // A workload that calls at once is told what is so, and not that nothing is known yet.
  await identity.started;
  const close = await serveWorkloadApi(identity, socket);
  await closeToOthers(socket);
  terminal.print(`SPIFFE_ENDPOINT_SOCKET=unix://${socket}`);
  await told;
  close();
  await identity.close();
}
