// The service's own tables, for the issuers whose targets they are: leases stand there before anything is made.
import { openService, type Service } from '../../../cli/compose.ts';
import { accessOf } from '../../../commands/access/kinds.ts';
import type { LeaseToIssue } from '../../../commands/credentials/issuer.ts';
import { newId } from '../../../commands/unit.ts';
import { agent, credential, person, task } from '../../../db/schema/index.ts';
import { startService, type TestService } from '../service.ts';

export interface OwnTables {
  service: TestService;
  inside: Service;
  /** Whose leases these are. */
  about: Pick<LeaseToIssue, 'agent' | 'task' | 'spiffeId'>;
  /** Writes a lease as the service does before it has it issued, or a later attempt at it. */
  prepare: (lease: LeaseToIssue) => Promise<void>;
  close: () => Promise<void>;
}

const BY = { type: 'service', id: 'test' } as const;

export async function ownTables(): Promise<OwnTables> {
  const service = await startService({ worker: false });
  const inside = await openService(service.config, 'test', 4);
  const at = new Date().toISOString();
  const [owner, holder, work] = [newId('person'), newId('agent'), newId('task')];
  const spiffeId = `spiffe://${inside.deps.installation.trustDomain}/agent/bot`;
  const { query } = inside.db;
  await query.insert(person).values({
    ...{ id: owner, name: 'Olga', roles: ['owner'], groups: [], state: 'active' },
    ...{ invitedBy: BY, createdAt: at },
  });
  await query.insert(agent).values({
    ...{ id: holder, name: 'bot', kind: 'ai_agent', owner, team: 'core', purpose: 'test' },
    ...{ state: 'active', spiffeId, registeredBy: BY, createdAt: at },
  });
  await query.insert(task).values({
    ...{ id: work, agent: holder, chain: [holder], purpose: 'test', triggeredByProof: 'none' },
    ...{
      state: 'running',
      policyVersion: `sha256:${'0'.repeat(64)}`,
      deadlineAt: at,
      createdAt: at,
    },
  });
  return {
    service,
    inside,
    about: { agent: holder, task: work, spiffeId },
    prepare: async (lease) => {
      const { credential: id, definition, target, issueBy, expiresAt, attempt } = lease;
      await query
        .insert(credential)
        .values({
          ...{ id, task: work, agent: holder, chain: [holder], role: lease.role },
          ...{ issuer: definition.issuer, target: target.name, options: lease.options },
          revocable: accessOf(definition).revocable(definition, target.definition),
          // Active, as it is once its answer was heard: only then is a certificate said to be good.
          ...{ holder: 'agent', state: 'active', issueAttempt: attempt, issueBy },
          ...{ createdAt: new Date().toISOString(), expiresAt, diesAt: expiresAt },
          sealThumbprint: '',
        })
        .onConflictDoUpdate({ target: credential.id, set: { issueAttempt: attempt, issueBy } });
    },
    close: async () => {
      await inside.close();
      await service.close();
    },
  };
}
