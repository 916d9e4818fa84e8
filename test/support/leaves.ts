// Logs as the verdict reads them, written by hand: a few lines say what happened, and the leaves follow.
import { eventType, type EventName } from '../../domain/event.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import type { Leaf } from '../../domain/verdict/facts.ts';
import { judge } from '../../domain/verdict/judge.ts';
import type { Verdict, VerdictTest } from '../../domain/verdict/types.ts';

const START = '2026-11-01T00:00:00.000Z';
export const CONTROL = 'orders-write';

export interface CaseOptions {
  voter?: string;
  /** What goes wrong, if anything does. */
  flaw?:
    | 'used before approval'
    | 'other action'
    | 'not shown all'
    | 'digest differs'
    | 'redeemed twice'
    | 'collected twice'
    | 'approved late'
    | 'nobody said what ran';
  simulated?: boolean;
  /** The control that asks; `orders-write` unless told. */
  control?: string;
  proof?: 'verified' | 'claimed' | 'none';
  barred?: string[];
  routeGroups?: string[];
  /** What is asked for; a credential unless told. */
  action?: string;
  /** A person, where it was not the agent that asked. */
  requester?: string;
  /** How often people let it be used. */
  uses?: number;
  /** Said after it had been missed what ran. */
  lateReceipt?: boolean;
  /** What was left of it, by what the deciding vote, the approval and its use each say. */
  left?: {
    narrows: boolean;
    voted: string;
    approved: string;
    run: string;
    within_votes?: boolean;
    within_shown?: boolean;
  };
  /** A question that stopped the clock, and until when it then ran. */
  askedUntil?: string;
}

/** A log in the making; each step is one leaf, ten seconds after the one before. */
export class LogBook {
  readonly leaves: Leaf[] = [];
  #requests = 0;

  get now(): string {
    return addSeconds(START, this.leaves.length * 10);
  }

  add(name: EventName, detail: JsonObject, more: JsonObject = {}): string {
    const id = `evt_${String(this.leaves.length).padStart(26, '0')}`;
    const { subject = 'x', ...data } = more;
    const event: JsonObject = {
      specversion: '1.0',
      id,
      source: 'https://issuer.example',
      type: eventType(name),
      time: this.now,
      subject,
      data: { request: null, action_ref: null, control: null, ...data, detail, private: {} },
    };
    this.leaves.push({ index: this.leaves.length, event });
    return id;
  }

  /** Somebody becomes an approver. */
  person(id: string, groups: string[], by = 'psn_admin'): this {
    this.add(
      'person.invited',
      { roles: ['approver'], groups, invited_by: party(by) },
      { subject: id },
    );
    return this;
  }

  /** Somebody makes a sign-in link for another. */
  link(person: string, by: string): this {
    this.add('person.link_made', { made_by: party(by), expires_at: this.now }, { subject: person });
    return this;
  }

  change(id: string, groups: string[], state = 'active'): this {
    this.add(
      'person.changed',
      { roles: [], groups, state, changed_by: party('psn_admin') },
      { subject: id },
    );
    return this;
  }

  sensor(standing = 0): this {
    const observed = {
      grade: 'B',
      target: 'sample',
      credential: null,
      login: 'other',
      effect: 'write',
      outcome: null,
      session_ref: null,
      at: this.now,
      skew_ms: 5,
    };
    this.add('runtime.observed', {
      ...observed,
      kind: 'sensor_started',
      controls: [],
      statements: 0,
    });
    this.add('runtime.observed', {
      ...observed,
      kind: 'standing_access',
      controls: [CONTROL],
      statements: standing,
    });
    return this;
  }

  open(options: CaseOptions = {}): { request: string; about: JsonObject } {
    this.#requests += 1;
    const request = `req_${this.#requests}`;
    const { control = CONTROL } = options;
    const about = { request, action_ref: `sha256:${this.#requests}`, control };
    this.add(
      'request.opened',
      {
        action: options.action ?? 'credential:request',
        resource: { type: 'role', id: 'orders-write' },
        controls: [control],
        routes: [
          {
            name: control,
            groups: options.routeGroups ?? ['data-owners'],
            quorum: 1,
            rule_digest: 'sha256:rule',
            barred: options.barred ?? ['psn_owner'],
            escalation: [],
          },
        ],
        requester: options.requester ? party(options.requester) : { type: 'agent', id: 'agt_1' },
        owners: ['psn_owner'],
        triggered_by: null,
        triggered_by_proof: options.proof ?? 'none',
        expires_at: addSeconds(this.now, 3600),
        simulated: options.simulated ?? false,
      },
      about,
    );
    return { request, about };
  }

  vote(about: JsonObject, decision: string, options: CaseOptions = {}): string {
    const vote = `vot_${this.leaves.length}`;
    this.add(
      'vote.cast',
      {
        vote,
        person: options.voter ?? 'psn_ada',
        decision,
        channel: 'web',
        strength: 'session',
        groups: ['data-owners'],
        routes: [CONTROL],
        shown: 'sha256:card',
        shown_covers_action: options.flaw !== 'not shown all',
        invited_by: party('psn_admin'),
        opened_at: this.now,
        ...(options.left && {
          narrows: options.left.narrows,
          approves_ref: options.left.voted,
          within_shown: options.left.within_shown ?? true,
        }),
      },
      options.flaw === 'other action' ? { ...about, action_ref: 'sha256:other' } : about,
    );
    return vote;
  }

  /** A request that people approve and that is carried out; returns the credential. */
  approved(options: CaseOptions = {}): string {
    const { request, about } = this.open(options);
    const credential = `crd_${request}`;
    const redeem = (): string =>
      this.add(
        'permit.redeemed',
        {
          permit: 'prm',
          digest_matches: options.flaw !== 'digest differs',
          rules_unchanged: true,
          ...(options.left && { effective_ref: options.left.run }),
        },
        about,
      );
    if (options.flaw === 'used before approval') redeem();
    if (options.askedUntil !== undefined)
      this.add('question.asked', { expires_at: options.askedUntil }, about);
    if (options.flaw === 'approved late')
      for (let at = 0; at < 400; at += 1) this.add('report.read', { report: 'x', by: null });
    const vote = this.vote(about, 'approve', options);
    this.add(
      'request.approved',
      {
        deciding_vote: vote,
        approved_by: [],
        approved_until: addSeconds(this.now, 900),
        ...(options.left && {
          effective_ref: options.left.approved,
          within_votes: options.left.within_votes ?? true,
        }),
      },
      about,
    );
    if (options.uses !== undefined)
      this.add('permit.issued', { permit: 'prm', expires_at: this.now, uses: options.uses }, about);
    if (options.flaw !== 'used before approval') redeem();
    if (options.flaw === 'redeemed twice') redeem();
    if (options.flaw === 'nobody said what ran' || options.lateReceipt === true)
      this.add(
        'finding.raised',
        { kind: 'receipt_missing', permit: 'prm', redemption: 'rdm' },
        about,
      );
    if (options.lateReceipt === true)
      this.add(
        'receipt.recorded',
        { permit: 'prm', digest_matches: true, outcome: 'done', effect: 'rdm' },
        about,
      );
    this.add('credential.intended', { credential }, about);
    this.add('credential.issued', { credential, permit: 'prm' }, about);
    this.add('credential.collected', { credential }, about);
    if (options.flaw === 'collected twice') this.add('credential.collected', { credential }, about);
    return credential;
  }

  /** A request that somebody refuses. */
  refused(options: CaseOptions & { runAllTheSame?: boolean } = {}): void {
    const { request, about } = this.open(options);
    const vote = this.vote(about, 'deny', options);
    this.add(
      'request.denied',
      { deciding_vote: vote, denied_by: 'psn_ada', disposition: 'stop' },
      about,
    );
    if (options.runAllTheSame)
      this.add('credential.issued', { credential: `crd_${request}`, permit: null }, about);
  }

  expired(): void {
    const { about } = this.open();
    this.add('request.expired', { expires_at: this.now, had_approval: false }, about);
  }

  /** From here on the credential should do nothing. */
  revoking(credential: string): void {
    this.add('credential.revoke_intended', { credential, because: 'task_ended', by: null });
  }

  revoked(credential: string): void {
    this.add('credential.revoked', { credential, because: 'task_ended', seen_gone: true });
  }

  /** A write that the target's own log tells of. */
  wrote(credential: string | null, more: JsonObject = {}): void {
    this.add('runtime.observed', {
      kind: 'effect',
      target: 'sample',
      grade: 'B',
      controls: [CONTROL],
      credential,
      login: credential === null ? 'other' : 'credential',
      effect: 'write',
      outcome: 'ran',
      session_ref: 'sample/1',
      at: this.now,
      skew_ms: 5,
      statements: 0,
      ...more,
    });
  }

  judge(control = CONTROL, from = START): Verdict {
    return judge(this.leaves, {
      control,
      period: { from, to: this.now },
      log: { size: this.leaves.length, root: 'root' },
    });
  }
}

const party = (id: string): JsonValue => ({ type: 'person', id });

/** One test of a verdict, by its name. */
export function testIn(verdict: Verdict, id: string): VerdictTest {
  const found = Object.values(verdict.layers)
    .flatMap((layer) => layer.tests)
    .find((test) => test.id === id);
  if (!found) throw new Error(`the verdict has no test ${id}`);
  return found;
}

/** A log with an approver and a sensor, before anything happens. */
export const newLog = (): LogBook => new LogBook().person('psn_ada', ['data-owners']).sensor();
