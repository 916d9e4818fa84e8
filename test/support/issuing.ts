// Leases for tests of issuers, made and ended as the service does it, on a clock that the test moves.
import { openEgress } from '../../activities/egress.ts';
import { endCredentials } from '../../activities/ending.ts';
import type { World } from '../../activities/issuers/world.ts';
import type { RoleDefinition, TargetDefinition } from '../../commands/access/kinds.ts';
import type {
  Issued,
  Issuer,
  LeaseToEnd,
  LeaseToIssue,
} from '../../commands/credentials/issuer.ts';
import { TargetError } from '../../commands/credentials/issuer.ts';
import { newId } from '../../commands/unit.ts';

export interface TestWorld extends World {
  /** Lets this many seconds pass. */
  pass(seconds: number): void;
  /** The time now, and so many seconds after it. */
  at(secondsLater?: number): string;
}

export function testWorld(secrets: Record<string, string> = {}): TestWorld {
  let offset = 0;
  const now = (): number => Date.now() + offset;
  return {
    egress: openEgress({ allow: [], loopback: false }),
    secrets: (name) => secrets[name] ?? null,
    now,
    pass: (seconds) => {
      offset += seconds * 1000;
    },
    at: (secondsLater = 0) => new Date(now() + secondsLater * 1000).toISOString(),
  };
}

/** A lease of five minutes on a role at a target. */
export function leaseOn(
  world: TestWorld,
  definition: RoleDefinition,
  target: TargetDefinition,
  more: Partial<LeaseToIssue> = {},
): LeaseToIssue {
  return {
    credential: newId('credential'),
    agent: newId('agent'),
    agentName: 'orders-bot',
    spiffeId: 'spiffe://test.example/agent/orders-bot',
    task: newId('task'),
    onBehalfOf: [],
    confirmation: null,
    status: null,
    purpose: 'test',
    role: 'test-role',
    definition,
    options: {},
    target: { name: 'test-target', definition: target },
    expiresAt: world.at(300),
    issueBy: world.at(30),
    attempt: 1,
    ...more,
  };
}

/** The lease as the reaper sees it after this was made for it; null after a crash that left no trace of it. */
export const toEnd = (
  lease: LeaseToIssue,
  issued: Issued | null,
  diesAt = issued?.diesAt ?? lease.expiresAt,
): LeaseToEnd => ({
  credential: lease.credential,
  handles: issued === null || issued.handle === null ? [] : [issued.handle],
  unheard: issued === null,
  diesAt,
});

/** Ends leases as the reaper does; what became of each, in a line. */
export async function endings(
  issuer: Issuer,
  lease: LeaseToIssue,
  ending: readonly LeaseToEnd[],
): Promise<string[]> {
  const ended = await endCredentials(issuer, lease.target, ending);
  return ended.map(({ outcome, death, isOver }) =>
    [outcome.code ?? 'done', death, isOver ? 'over' : 'open'].join(' '),
  );
}

/** The code an issuer refuses with, and whether it says that nothing was made. */
export const refusalOf = (issuing: Promise<Issued>): Promise<string> =>
  issuing.then(
    () => 'issued',
    (error: unknown) => {
      if (!(error instanceof TargetError)) throw error;
      return error.nothingMade ? `${error.code}, nothing made` : error.code;
    },
  );
