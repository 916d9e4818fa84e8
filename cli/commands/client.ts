// The commands of the client, as they are typed. Each loads the SDK, and what else it needs, only when it runs.
import type { Command } from 'commander';
import { agentCommands } from './agent.ts';
import { auditCommands } from './audit.ts';
import { breakGlassCommands } from './break-glass.ts';
import { channelCommands } from './channel.ts';
import { credentialCommands } from './credential.ts';
import { discoveryCommands } from './discovery.ts';
import { dutyCommands } from './duty.ts';
import { evidenceCommands } from './evidence.ts';
import { grantCommands } from './grant.ts';
import { keysCommands } from './keys.ts';
import { leakCommands } from './leak.ts';
import { personCommands } from './person.ts';
import { policyCommands } from './policy.ts';
import { receiverCommands } from './receiver.ts';
import { requestCommands } from './request.ts';
import { secretCommands } from './secret.ts';
import { setupCommands } from './setup.ts';
import { sourceCommands } from './sources.ts';
import { stopCommands } from './stop.ts';
import { taskCommands } from './task.ts';
import type { Terminal } from './terminal.ts';
import { workloadCommands } from './workload.ts';

export function clientCommands(program: Command, terminal: Terminal): void {
  agentCommands(program, terminal);
  taskCommands(program, terminal);
  credentialCommands(program, terminal);
  requestCommands(program, terminal);
  grantCommands(program, terminal);
  breakGlassCommands(program, terminal);
  personCommands(program, terminal);
  dutyCommands(program, terminal);
  channelCommands(program, terminal);
  evidenceCommands(program, terminal);
  auditCommands(program, terminal);
  policyCommands(program, terminal);
  secretCommands(program, terminal);
  receiverCommands(program, terminal);
  leakCommands(program, terminal);
  sourceCommands(program, terminal);
  stopCommands(program, terminal);
  discoveryCommands(program, terminal);
  keysCommands(program, terminal);
  setupCommands(program, terminal);
  workloadCommands(program, terminal);
}
