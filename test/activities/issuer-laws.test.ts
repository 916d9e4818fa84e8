// What holds for every issuer there is, each with a real target or the best stand-in for it.
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  TargetError,
  type Issued,
  type Issuer,
  type LeaseToEnd,
  type LeaseToIssue,
} from '../../commands/issuer.ts';
import { newId } from '../../commands/unit.ts';
import { ISSUER_KINDS } from '../support/issuer-fixtures/all.ts';
import {
  ended,
  inSeconds,
  leaseOf,
  withoutHandles,
  type IssuerFixture,
  type IssuerKind,
} from '../support/issuer-fixtures/fixture.ts';

/** A word of ours: it says what went wrong, and cannot quote anything. */
const CODE = /^[a-z0-9_]{1,64}$/;

const IN_TARGETS = ISSUER_KINDS.filter(({ endedBy }) => endedBy === 'target');
const FENCED = IN_TARGETS.filter(({ refusesLate }) => refusesLate);
const BY_TIME = ISSUER_KINDS.filter(({ endedBy }) => endedBy === 'time');

const fixtures = new Map<string, IssuerFixture>();
beforeAll(async () => {
  for (const kind of ISSUER_KINDS) fixtures.set(kind.name, await kind.start());
});
afterAll(async () => {
  for (const fixture of fixtures.values()) await fixture.close();
});

const running = ({ name }: IssuerKind): IssuerFixture => {
  const fixture = fixtures.get(name);
  if (fixture === undefined) throw new Error(`${name} did not start`);
  return fixture;
};
const leaseFor = (kind: IssuerKind, more: Partial<LeaseToIssue> = {}): LeaseToIssue => {
  const { role, target, options = {} } = running(kind);
  return leaseOf(role, target, { options, ...more });
};
const endFor = (kind: IssuerKind, leases: readonly LeaseToEnd[]) =>
  ended(running(kind).ours, running(kind).target, leases);
const listFor = async (kind: IssuerKind): Promise<string[]> =>
  (await running(kind).ours.list(running(kind).target)) ?? [];

describe.each(ISSUER_KINDS)('$name', (kind) => {
  const lease = (more: Partial<LeaseToIssue> = {}): LeaseToIssue => leaseFor(kind, more);
  const end = (...leases: LeaseToEnd[]) => endFor(kind, leases);

  it('gives what works, and something new each time', async () => {
    const held = lease();
    const first = await running(kind).ours.issue(held);
    expect(await running(kind).works(first.material)).toBe(true);
    const second = await running(kind).ours.issue({ ...held, attempt: 2 });
    expect(await running(kind).works(second.material)).toBe(true);
    expect(await running(kind).works(first.material)).toBe(!kind.replaces);
    if (kind.endedBy === 'lease') return;
    expect(running(kind).secretsOf(second.material)).not.toEqual(
      running(kind).secretsOf(first.material),
    );
    await end(toEnd(held, first, second));
  });

  it('says of what kind it is, and holds a secret that nobody guesses', async () => {
    const held = lease();
    const issued = await running(kind).ours.issue(held);
    expect(issued.material['kind']).toBe(kind.name);
    expect(
      running(kind)
        .secretsOf(issued.material)
        .every((secret) => secret.length >= 20),
    ).toBe(true);
    await end(toEnd(held, issued));
  });

  it('says nothing of a secret in what it answers or throws', async () => {
    const held = lease();
    const issued = await running(kind).ours.issue(held);
    const said: unknown[] = [await end(toEnd(held, issued))];
    const { ours, down, theirs } = running(kind);
    for (const issuer of [ours, down, theirs])
      if (issuer)
        said.push(
          await issuer.issue(lease({ issueBy: 'never' })).catch((error: unknown) => error),
          await issuer.revoke(running(kind).target, [toEnd(held, issued)]),
          await issuer
            .verifyDead(running(kind).target, [toEnd(held, issued)])
            .catch((error: unknown) => error),
          await issuer.list(running(kind).target).catch((error: unknown) => error),
        );
    const everything = inspect(
      said.filter((each) => !isIssued(each)),
      { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null },
    );
    for (const secret of [...running(kind).secretsOf(issued.material), ...running(kind).ownSecrets])
      expect(everything).not.toContain(secret);
  });

  it('I3: revoking what never was is done, and done again', async () => {
    const never = withoutHandles([newId('credential'), newId('credential')]);
    for (let again = 0; again < 2; again += 1)
      expect((await end(...never)).map(({ isOver }) => isOver)).toEqual([true, true]);
    expect(await end()).toEqual([]);
  });
});

describe.each(BY_TIME)('$name', (kind) => {
  it('I3: what cannot be taken back says so, and when to look again', async () => {
    const held = leaseFor(kind);
    const issued = await running(kind).ours.issue(held);
    const [outcome] = await endFor(kind, [toEnd(held, issued)]);
    expect(outcome).toMatchObject({ isOver: false, code: 'not_revocable' });
    expect(Date.parse(outcome?.tryAt ?? '')).toBeGreaterThan(Date.now());
  });
});

describe.each(FENCED)('$name', (kind) => {
  it('makes nothing after its time, and nothing for an attempt that a later one overtook', async () => {
    const { ours, works } = running(kind);
    const late = leaseFor(kind, { issueBy: inSeconds(-2) });
    await expect(ours.issue(late)).rejects.toMatchObject({ code: 'too_late' });
    expect(await listFor(kind)).not.toContain(late.credential);
    const held = leaseFor(kind, { attempt: 2 });
    const issued = await ours.issue(held);
    await expect(ours.issue({ ...held, attempt: 1 })).rejects.toMatchObject({ code: 'superseded' });
    expect(await works(issued.material)).toBe(true);
    await endFor(kind, [toEnd(held, issued)]);
  });
});

describe.each(IN_TARGETS)('$name', (kind) => {
  const lease = (more: Partial<LeaseToIssue> = {}): LeaseToIssue => leaseFor(kind, more);
  const end = (...leases: LeaseToEnd[]) => endFor(kind, leases);
  const listed = (): Promise<string[]> => listFor(kind);

  it('I3: a revoked credential works no more, whatever of it was revoked before, and its neighbours work on', async () => {
    const { ours, works } = running(kind);
    const [held, neighbour] = [lease(), lease()];
    const issued = await ours.issue(held);
    const kept = await ours.issue(neighbour);
    for (let again = 0; again < 2; again += 1) {
      expect(await end(toEnd(held, issued))).toMatchObject([{ code: null, isOver: true }]);
      expect(await works(issued.material)).toBe(false);
    }
    expect(await works(kept.material)).toBe(true);
    const over = await end(toEnd(held, issued), toEnd(neighbour, kept));
    expect(over.map(({ isOver }) => isOver)).toEqual([true, true]);
    expect(await works(kept.material)).toBe(false);
  });

  it('I3: everything that was made for a lease ends with it', async () => {
    const { ours, works } = running(kind);
    const held = lease();
    const first = await ours.issue(held);
    const second = await ours.issue({ ...held, attempt: 2 });
    expect(await end(toEnd(held, first, second))).toMatchObject([{ isOver: true }]);
    expect([await works(first.material), await works(second.material)]).toEqual([false, false]);
  });

  it('I3: is never said to be gone while it works', async () => {
    const { ours, works, target } = running(kind);
    const held = lease();
    const issued = await ours.issue(held);
    expect(await ours.verifyDead(target, [toEnd(held, issued)])).toEqual(['alive']);
    expect(await works(issued.material)).toBe(true);
    await end(toEnd(held, issued));
    expect(await ours.verifyDead(target, [toEnd(held, issued)])).toEqual(['gone']);
    expect(await works(issued.material)).toBe(false);
  });

  it('I3: issuing and revoking at once leave nothing that works once revoking has said it is over', async () => {
    const { ours, works } = running(kind);
    for (let round = 0; round < 4; round += 1) {
      const held = lease();
      const [issued] = await Promise.all([
        ours.issue(held).catch((): Issued | null => null),
        end(toEnd(held)),
      ]);
      // Whoever issued finds the lease closed, and ends what was made.
      const made = issued === null ? [] : [issued];
      expect(await end(toEnd(held, ...made))).toMatchObject([{ isOver: true }]);
      for (const { material } of made) expect(await works(material)).toBe(false);
      expect(await listed()).not.toContain(held.credential);
    }
  });

  it('I3: revoking twice at once ends in one that is gone', async () => {
    const { ours, works, target } = running(kind);
    const held = lease();
    const issued = await ours.issue(held);
    const both = await Promise.all([1, 2].map(() => end(toEnd(held, issued))));
    expect(both.flat().some(({ isOver }) => isOver)).toBe(true);
    expect(await works(issued.material)).toBe(false);
    expect(await ours.verifyDead(target, [toEnd(held, issued)])).toEqual(['gone']);
  });

  it('I3: a sweep finds what is ours, what no lease knows as well, and nothing once it is ended', async () => {
    const { ours, target } = running(kind);
    const held = lease();
    await ours.issue(held);
    if ((await ours.list(target)) === null) return;
    expect(await listed()).toContain(held.credential);
    expect(await end(...withoutHandles([held.credential]))).toMatchObject([{ isOver: true }]);
    expect(await listed()).not.toContain(held.credential);
  });

  it('I3: ends nothing of another deployment', async () => {
    const { ours, theirs, works, target } = running(kind);
    if (theirs === null) return;
    const held = lease();
    const issued = await theirs.issue(held);
    expect(await listed()).not.toContain(held.credential);
    expect(await end(...withoutHandles([held.credential]))).toMatchObject([{ isOver: false }]);
    expect(await works(issued.material)).toBe(true);
    expect(await refusalOf(ours.issue(held))).toMatch(CODE);
    expect(await works(issued.material)).toBe(true);
    expect(await ended(theirs, target, [toEnd(held, issued)])).toMatchObject([{ isOver: true }]);
    expect(await works(issued.material)).toBe(false);
  });

  it('I3: a target out of reach is said to be, for each lease, and nothing is said to be over', async () => {
    const { down, target } = running(kind);
    if (down === null) return;
    expect(await refusalOf(down.issue(lease()))).toMatch(CODE);
    const leases = withoutHandles([newId('credential'), newId('credential')]);
    const outcomes = await ended(down, target, leases);
    expect(outcomes.map(({ credential }) => credential)).toEqual(
      leases.map(({ credential }) => credential),
    );
    for (const { isOver, code } of outcomes) {
      expect(isOver).toBe(false);
      expect(code).toMatch(CODE);
    }
    await expect(listOf(down, target)).resolves.toBeNull();
  });

  it('I3: a target that policy no longer has is said to be out of reach', async () => {
    const { ours, target } = running(kind);
    const gone = { ...target, definition: null };
    const [outcome] = await ended(ours, gone, withoutHandles([newId('credential')]));
    expect(outcome).toMatchObject({ isOver: false, code: 'target_not_configured' });
  });
});

const toEnd = (held: LeaseToIssue, ...issued: readonly Issued[]): LeaseToEnd => ({
  credential: held.credential,
  handles: issued.flatMap(({ handle }) => handle ?? []),
  diesAt: issued.at(-1)?.diesAt ?? null,
});

/** The code that issuing is refused with. */
const refusalOf = (issuing: Promise<Issued>): Promise<string> =>
  issuing.then(
    () => 'Issued',
    (error: unknown) => (error instanceof TargetError ? error.code : 'No code'),
  );

const isIssued = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'material' in value;

/** What a sweep makes of it: a target that cannot be asked now is no target without logins. */
const listOf = (issuer: Issuer, target: IssuerFixture['target']) =>
  issuer.list(target).catch(() => null);
