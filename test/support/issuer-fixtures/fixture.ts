// What a test needs of an issuer and its target to hold the issuer to the laws of all of them.
import { setTimeout as sleep } from 'node:timers/promises';
import { endCredentials, type Ended } from '../../../activities/ending.ts';
import type { Attempts, Witness } from '../../../commands/access/kind.ts';
import {
  accessOf,
  type IssuerName,
  type RoleDefinition,
  type TargetDefinition,
} from '../../../commands/access/kinds.ts';
import type {
  Issued,
  Issuer,
  LeaseToEnd,
  LeaseToIssue,
  RevokeOutcome,
  TargetRef,
} from '../../../commands/credentials/issuer.ts';
import { newId } from '../../../commands/unit.ts';
import type { Id } from '../../../domain/id.ts';
import { addSeconds, latest } from '../../../domain/instant.ts';
import type { JsonObject } from '../../../domain/json.ts';
import type { TestWorld } from '../issuing.ts';

/** A kind of access, or one way to configure it, for the table of them all in all.ts. */
export interface IssuerKind {
  name: string;
  start(): Promise<IssuerFixture>;
}

/** An issuer and what it is pointed at. */
export interface Way {
  issuer: Issuer;
  target: TargetRef;
}

/** What can be wrong with a target: nobody answers, it says no to us, or what it says is nonsense. */
export const TROUBLES = ['down', 'denied', 'garbled'] as const;
type Trouble = (typeof TROUBLES)[number];

/** One issuer with a real target, or the best stand-in for it that there is. */
interface IssuerFixture extends Way {
  /** The same kind of issuer, of another deployment, at the same target; null where nothing tells them apart there. */
  theirs: Issuer | null;
  /** The same kind of issuer in each kind of trouble; null where there is no target to reach. */
  broken: Record<Trouble, Way> | null;
  role: RoleDefinition;
  /** What is true of every lease here, such as whose it is. */
  about?: Partial<LeaseToIssue>;
  /** What the service writes before it has a credential made, where the issuer reads it. */
  prepare?(lease: LeaseToIssue): Promise<void>;
  /** What the service writes before it has credentials ended, where whoever checks them reads it. */
  closing?(credentials: readonly Id<'credential'>[]): void;
  /** Whether somebody who has this is let in where it leads. */
  works: (material: JsonObject) => Promise<boolean>;
  /** What nobody but the holder may see of it. */
  secretsOf: (material: JsonObject) => string[];
  /** What nobody but the issuer may see. */
  ownSecrets: string[];
  clock: Clock;
  /** When its target ends a lease by itself, as the target says; null where it does not. */
  endsAt?(credential: Id<'credential'>): Promise<string | null>;
  close(): Promise<void>;
}

/** The clock that a target goes by. */
export interface Clock {
  now(): number;
  /** Lets it become this late. */
  reach(at: string): Promise<void>;
}

/** That of a real server, which can only be waited for. */
export const REAL_CLOCK: Clock = {
  now: Date.now,
  reach: async (at) => {
    await sleep(Math.max(0, Date.parse(at) - Date.now()));
  },
};

/** That of a stand-in, which the test moves. */
export const clockOf = (world: TestWorld): Clock => ({
  now: () => world.now(),
  reach: (at) => {
    world.pass(Math.max(0, (Date.parse(at) - world.now()) / 1000));
    return Promise.resolve();
  },
});

/** What a kind of access says of itself. */
interface Facts {
  issuer: IssuerName;
  revocable: boolean;
  longestSeconds: number;
  backstop: boolean;
  witness: Witness;
  attempts: Attempts;
  listed: boolean;
  renewal: 'extended' | 'fresh' | null;
}

const factsOf = (role: RoleDefinition, target: TargetDefinition | null): Facts => {
  const access = accessOf(role);
  return {
    issuer: role.issuer,
    revocable: access.revocable(role, target),
    longestSeconds: access.longestSeconds(role, target),
    backstop: access.backstop(role),
    witness: access.witness(role, target),
    attempts: access.attempts(role),
    listed: access.listed,
    renewal: access.renewal ?? null,
  };
};

/** A kind that was started, and what the laws do with it. */
export interface Running {
  name: string;
  fixture: IssuerFixture;
  facts: Facts;
  lease: (more?: Partial<LeaseToIssue>) => LeaseToIssue;
  issue: (lease: LeaseToIssue, way?: Way) => Promise<Issued>;
  /** Ends these once, as the reaper does. */
  end: (...leases: LeaseToEnd[]) => Promise<Ended[]>;
  /** Ends one as often as it takes, each time when it was said that it makes sense. */
  endFully: (lease: LeaseToEnd) => Promise<Ended>;
  /** A lease as the reaper reads it, of which these answers were heard. */
  toEnd: (lease: LeaseToIssue, heard: readonly Issued[], unheard?: boolean) => LeaseToEnd;
}

export async function running(kind: IssuerKind): Promise<Running> {
  const fixture = await kind.start();
  const facts = factsOf(fixture.role, fixture.target.definition);
  const { issuer, target, clock } = fixture;
  const end: Running['end'] = (...leases) => {
    fixture.closing?.(leases.map(({ credential }) => credential));
    return endCredentials(issuer, target, leases);
  };
  return {
    name: kind.name,
    fixture,
    facts,
    lease: (more) => leaseOf(fixture.role, target, { ...fixture.about, ...more }, clock),
    issue: async (lease, way = fixture) => {
      await fixture.prepare?.(lease);
      return way.issuer.issue({ ...lease, target: way.target });
    },
    end,
    endFully: async (lease) => {
      for (let tries = 0; ; tries += 1) {
        const [over] = await end(lease);
        if (!over) throw new Error('nothing was said of the lease');
        const { tryAt } = over.outcome;
        if (over.isOver || tryAt === undefined || tries > 2) return over;
        await clock.reach(tryAt);
      }
    },
    toEnd: (lease, heard, unheard = false) => ({
      credential: lease.credential,
      handles: heard.flatMap(({ handle }) => handle ?? []),
      unheard,
      diesAt: latest(
        lease.expiresAt,
        addSeconds(lease.issueBy, facts.longestSeconds),
        ...heard.flatMap(({ diesAt }) => diesAt ?? []),
      ),
    }),
  };
}

export const inSeconds = (seconds: number, now = Date.now()): string =>
  new Date(now + seconds * 1000).toISOString();

/** What every role says, for tests that care about the rest. */
export const anyRole = {
  title: 'Read',
  data_class: 'internal',
  reason: 'optional' as const,
  ttl_seconds_default: 60,
  ttl_seconds_max: 60,
};

/** A lease as the service would hand it to an issuer. */
export const leaseOf = (
  definition: RoleDefinition,
  target: TargetRef,
  more: Partial<LeaseToIssue> = {},
  clock: Clock = REAL_CLOCK,
): LeaseToIssue => ({
  credential: newId('credential'),
  agent: newId('agent'),
  agentName: 'bot',
  spiffeId: 'spiffe://test/agent/bot',
  onBehalfOf: [],
  confirmation: null,
  status: null,
  task: newId('task'),
  purpose: 'test',
  role: 'orders-readonly',
  definition,
  options: {},
  target,
  expiresAt: inSeconds(60, clock.now()),
  issueBy: inSeconds(30, clock.now()),
  attempt: 1,
  ...more,
});

/** Leases of which nothing is known but their names: what a crash left, or an orphan that a sweep found. */
export const withoutHandles = (credentials: readonly Id<'credential'>[]): LeaseToEnd[] =>
  credentials.map((credential) => ({ credential, handles: [], unheard: true, diesAt: null }));

/** Ends them as the reaper does, and says of each whether it is over. */
export const ended = async (
  issuer: Issuer,
  target: TargetRef,
  leases: readonly LeaseToEnd[],
): Promise<(RevokeOutcome & { isOver: boolean })[]> =>
  (await endCredentials(issuer, target, leases)).map(({ outcome, isOver }) => ({
    ...outcome,
    isOver,
  }));
