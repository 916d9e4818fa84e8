// The seats of an approval counted again from leaves alone: who was an approver then, and whether each sat once.
import { describe, expect, it } from 'vitest';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { LogBook, testIn } from '../support/leaves.ts';

const CONTROL = 'orders-write';

/** A log with people of two groups, and one of none. */
const people = (): LogBook =>
  new LogBook()
    .person('psn_sam', ['security'])
    .person('psn_sue', ['security'])
    .person('psn_olga', ['owners'])
    .person('psn_both', ['security', 'owners'])
    .person('psn_tom', []);

interface Voted extends JsonObject {
  person: string;
}

const SEATS = { groups: ['security', 'owners'], quorum: 2, seats: { security: 1, owners: 1 } };
const STAGES = {
  groups: ['owners', 'security'],
  quorum: 2,
  stages: [
    { groups: ['owners'], quorum: 1 },
    { groups: ['security'], quorum: 1 },
  ],
};

/** A request under this route, approved after these votes. */
function approved(log: LogBook, route: JsonObject, votes: readonly Voted[], between = () => {}) {
  const about = { request: 'req_seats', action_ref: 'sha256:seats', control: CONTROL };
  log.add(
    'request.opened',
    {
      action: 'credential:request',
      resource: { type: 'role', id: 'orders-write' },
      controls: [CONTROL],
      routes: [
        { name: 'r', rule_digest: 'sha256:rule', barred: ['psn_owner'], escalation: [], ...route },
      ],
      requester: { type: 'agent', id: 'agt_1' },
      owners: ['psn_owner'],
      triggered_by: null,
      triggered_by_proof: 'none',
      expires_at: addSeconds(log.now, 3600),
      simulated: false,
    },
    about,
  );
  for (const vote of votes)
    log.add(
      'vote.cast',
      {
        vote: `vot_${vote.person}`,
        decision: 'approve',
        channel: 'web',
        strength: 'session',
        groups: [],
        routes: ['r'],
        stages: null,
        in_stead_of: null,
        absence: null,
        shown: 'sha256:card',
        shown_covers_action: true,
        invited_by: null,
        opened_at: log.now,
        ...vote,
      },
      about,
    );
  between();
  log.add(
    'request.approved',
    { deciding_vote: 'vot_x', approved_by: [], approved_until: addSeconds(log.now, 900) },
    about,
  );
}

const exceptions = (log: LogBook, id = 'eligibility'): number => testIn(log.judge(), id).exceptions;

/** How many exceptions there are to the eligibility of an approval by these votes. */
function found(
  route: JsonObject,
  votes: readonly Voted[],
  prepare = (_log: LogBook) => {},
): number {
  const log = people();
  prepare(log);
  approved(log, route, votes);
  return exceptions(log);
}

const by = (person: string, more: JsonObject = {}): Voted => ({ person, ...more });
const inStage = (person: string, stage: number): Voted => by(person, { stages: { r: stage } });

describe('an approval as the leaves tell it', () => {
  it('I4: had a seat of each group filled by a human of its own', () => {
    expect(found(SEATS, [by('psn_sam'), by('psn_olga')])).toBe(0);
    expect(found(SEATS, [by('psn_both'), by('psn_sam')])).toBe(0);
    expect(found(SEATS, [by('psn_sam'), by('psn_sue')])).toBe(1);
    expect(found(SEATS, [by('psn_both')])).toBe(1);
    expect(found({ groups: ['security'], quorum: 2 }, [by('psn_sam'), by('psn_sam')])).toBe(1);
  });

  it('I4: went through its stages, by different people unless the route says otherwise', () => {
    expect(found(STAGES, [inStage('psn_olga', 0), inStage('psn_sam', 1)])).toBe(0);
    expect(found(STAGES, [inStage('psn_olga', 0), inStage('psn_both', 0)])).toBe(1);
    expect(found(STAGES, [inStage('psn_both', 0)])).toBe(1);
    expect(found({ ...STAGES, same_person: 'allowed' }, [inStage('psn_both', 0)])).toBe(0);
  });

  it('I4: counted nobody who had left before it was final', () => {
    const log = people();
    approved(log, SEATS, [by('psn_sam'), by('psn_olga')], () => log.change('psn_sam', []));
    expect(exceptions(log)).toBe(1);
  });

  it('counts a vote that its route did not take for nothing', () => {
    expect(found(SEATS, [by('psn_sam', { routes: [] }), by('psn_olga')])).toBe(1);
  });

  it('an escalation widens the seats that it names, once its time has come', () => {
    const escalation = [{ after_seconds: 25, groups: ['security'], for: 'owners' }];
    const votes = [by('psn_sam'), by('psn_sue')];
    expect(found({ ...SEATS, escalation }, votes)).toBe(0);
    expect(found({ ...SEATS, escalation: [{ ...escalation[0], after_seconds: 60 }] }, votes)).toBe(
      1,
    );
  });
});

describe('a stand-in as the leaves tell it', () => {
  const said = (log: LogBook, more: JsonObject = {}): void => {
    log.add('person.away', {
      absence: 'abs_1',
      person: 'psn_olga',
      stand_in: 'psn_tom',
      starts_at: log.now,
      ends_at: addSeconds(log.now, 600),
      by: { type: 'person', id: 'psn_olga' },
      ...more,
    });
  };
  const forOlga = by('psn_tom', { in_stead_of: 'psn_olga' });

  it('I4: voted under an absence that was said before, was in force, and was for them', () => {
    const votes = [by('psn_sam'), forOlga];
    expect(found(SEATS, votes, said)).toBe(0);
    // Neither the vote nor the approval is what it says: both are exceptions.
    expect(found(SEATS, votes)).toBe(2);
    expect(found(SEATS, votes, (log) => said(log, { ends_at: log.now }))).toBe(2);
    expect(found(SEATS, votes, (log) => said(log, { stand_in: 'psn_sue' }))).toBe(2);
  });

  it('I4: is one human with whoever is away', () => {
    const pair = { groups: ['owners'], quorum: 2 };
    expect(found(pair, [by('psn_olga'), forOlga], said)).toBe(1);
    expect(found(pair, [by('psn_both'), forOlga], said)).toBe(0);
  });

  it('I4: counts no more once the absence was taken back', () => {
    const log = people();
    said(log);
    approved(log, SEATS, [by('psn_sam'), forOlga], () => {
      log.add('person.back', {
        absence: 'abs_1',
        person: 'psn_olga',
        stand_in: 'psn_tom',
        by: { type: 'person', id: 'psn_olga' },
      });
    });
    expect(exceptions(log)).toBe(1);
  });

  it('I4: decided for nobody it was for, neither by themselves nor for another', () => {
    const log = people().person('psn_owner', ['owners']);
    said(log, { person: 'psn_owner' });
    approved(log, SEATS, [by('psn_sam'), by('psn_tom', { in_stead_of: 'psn_owner' })]);
    expect(exceptions(log, 'independence')).toBe(1);
  });

  it('I4: whom somebody it was for made a stand-in is not known to be independent', () => {
    const log = people();
    said(log, { by: { type: 'person', id: 'psn_owner' } });
    approved(log, SEATS, [by('psn_sam'), forOlga]);
    expect(testIn(log.judge(), 'independence').state).not.toBe('effective');
  });
});

describe('duties as the leaves tell them', () => {
  const route = { groups: ['on-call:primary'], quorum: 1, on_call: {} };
  const looked = (names: string[]) => (log: LogBook) => {
    log.add('duty.looked', { source: 'primary', people: names, unmatched: 0, code: null });
  };

  it('I4: on call is whom the source last named before it was decided', () => {
    expect(found(route, [by('psn_tom')], looked(['psn_tom']))).toBe(0);
    expect(found(route, [by('psn_tom')], looked(['psn_sam']))).toBe(2);
    expect(found(route, [by('psn_tom')])).toBe(2);
    const log = people();
    looked(['psn_tom'])(log);
    approved(log, route, [by('psn_tom')], () => looked([])(log));
    expect(exceptions(log)).toBe(1);
  });

  it('I4: the owner of what is asked for is the one that was named when it was opened', () => {
    const owned = { groups: ['resource:owner'], quorum: 1 };
    expect(found({ ...owned, resource_owner: { person: 'psn_tom' } }, [by('psn_tom')])).toBe(0);
    expect(found({ ...owned, resource_owner: { group: 'owners' } }, [by('psn_olga')])).toBe(0);
    expect(found({ ...owned, resource_owner: { group: 'owners' } }, [by('psn_tom')])).toBe(2);
    expect(found(owned, [by('psn_tom')])).toBe(2);
  });
});
