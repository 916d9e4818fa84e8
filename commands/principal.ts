// Who calls. Each kind has its own kind of credential, and only a person can ever decide.
import type { PersonRole } from '../db/schema/people.ts';
import type { Party } from '../domain/action.ts';
import type { Strength } from '../domain/approval.ts';
import type { Confirmation } from '../domain/delegation.ts';
import type { Id } from '../domain/id.ts';
import type { Standing } from './sign-in/agent-sign-in.ts';

export interface PersonPrincipal {
  kind: 'person';
  id: Id<'person'>;
  name: string;
  roles: PersonRole[];
  groups: string[];
  session: Id<'session'> | null;
  strength: Strength;
  /** Set where they came through Slack: how we know that the Slack user is theirs. */
  slackBinding?: SlackBinding;
}

/** How a Slack user is known to be a person's, strongest first: by themselves, by an administrator, by an address. */
export type SlackBinding = 'linked' | 'set_by_admin' | 'email_match';

export interface AgentPrincipal {
  kind: 'agent';
  id: Id<'agent'>;
  /** Set where its token was delegated to it: then it acts under that task, and for nothing else. */
  delegation?: Delegation;
  /** Set where its token is for acting for a person: then it starts one task, and nothing else. */
  onBehalf?: OnBehalf;
  /** The token it came with, for what is made from that. */
  token?: TokenFacts;
}

/** What an access token stands on, since when, and what it is bound to. */
export interface TokenFacts {
  standing: Standing;
  signedInAt: string;
  confirmation: Confirmation | null;
}

/** What another agent handed on: its task, who acts for whom, and which roles. */
export interface Delegation {
  task: Id<'task'>;
  /** Whoever acts first, then each agent on whose behalf. */
  chain: Id<'agent'>[];
  /** Null is no limit. */
  roles: string[] | null;
}

/** A person's word that an agent acts for them. */
export interface OnBehalf {
  person: Id<'person'>;
  /** The token that says so, which starts one task. */
  tokenId: string;
  expiresAt: string;
  /** Null is no limit. */
  roles: string[] | null;
}

interface ServicePrincipal {
  kind: 'service';
  id: string;
}

/** Somebody in Slack who is bound to no person here. */
interface SlackPrincipal {
  kind: 'slack';
  /** Their Slack user id. */
  id: string;
}

/** A scanner that signed what it reports; it can do nothing else. */
interface ScannerPrincipal {
  kind: 'scanner';
  id: string;
}

/** Our own workflows and loops, acting on what people and policy already decided. */
interface WorkflowPrincipal {
  kind: 'workflow';
  id: string;
}

export type Principal =
  | PersonPrincipal
  | AgentPrincipal
  | ServicePrincipal
  | SlackPrincipal
  | ScannerPrincipal
  | WorkflowPrincipal;

export const partyOf = (principal: Principal): Party => ({
  type: principal.kind,
  id: principal.id,
});

/** A name for rows that belong to one caller. */
export const keyOf = (principal: Principal): string => `${principal.kind}:${principal.id}`;

export const isAdmin = (principal: Principal): boolean =>
  principal.kind === 'service' ||
  (principal.kind === 'person' && principal.roles.includes('admin'));

/** Whoever is an auditor and nothing else reads everything and changes nothing. */
export const onlyReads = (roles: readonly PersonRole[]): boolean =>
  roles.length > 0 && roles.every((role) => role === 'auditor');

/** Whether somebody with these roles may decide at all; on which requests, their groups say. */
export const mayVote = (roles: readonly PersonRole[]): boolean =>
  roles.includes('approver') || roles.includes('admin');

/** People who may do more than read. */
export const isMember = (principal: Principal): boolean =>
  principal.kind === 'person' && !onlyReads(principal.roles);

/** Whether somebody may read the whole record. */
export const mayAudit = (principal: Principal): boolean =>
  isAdmin(principal) || (principal.kind === 'person' && principal.roles.includes('auditor'));
