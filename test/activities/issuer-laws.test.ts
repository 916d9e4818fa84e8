// What holds for every issuer there is, each with a real target or the best stand-in for it. Where kinds differ, what a
// kind says of itself (commands/access) decides what is expected of it, and nothing else.
import { inspect, isDeepStrictEqual } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { endCredentials } from '../../activities/ending.ts';
import { isIssuerName, OWN_TARGETS } from '../../commands/access/kinds.ts';
import { TargetError, type Issued } from '../../commands/credentials/issuer.ts';
import { newId } from '../../commands/unit.ts';
import { addSeconds, latest } from '../../domain/instant.ts';
import { eventually } from '../support/client.ts';
import { EXTENDED_KINDS, ISSUER_KINDS } from '../support/issuer-fixtures/all.ts';
import {
  ended,
  inSeconds,
  running,
  TROUBLES,
  withoutHandles,
  type Running,
} from '../support/issuer-fixtures/fixture.ts';

/** A word of ours: it says what went wrong, and cannot quote anything. */
const CODE = /^[a-z0-9_]{1,64}$/;

// The stand-in for an authorization server warns of what a test setup lacks.
const warn = console.warn;
console.warn = () => undefined;
const KINDS = await Promise.all(ISSUER_KINDS.map(running));
afterAll(async () => {
  for (const { fixture } of KINDS) await fixture.close();
  console.warn = warn;
});

const works = ({ fixture }: Running, ...issued: Issued[]): Promise<boolean[]> =>
  Promise.all(issued.map(({ material }) => fixture.works(material)));
const listOf = async ({ fixture }: Running): Promise<string[]> =>
  (await fixture.issuer.list(fixture.target)) ?? [];

/** The code that issuing is refused with. */
const refusalOf = (issuing: Promise<Issued>): Promise<string> =>
  issuing.then(
    () => 'Issued',
    (error: unknown) => (error instanceof TargetError ? error.code : `No code: ${String(error)}`),
  );

describe('the kinds of access', () => {
  it('all have a fixture here, so that no kind is without laws', () => {
    const names = new Set(KINDS.map(({ facts }) => facts.issuer));
    for (const issuer of ['aws', 'github', 'jwt', 'kubernetes', 'mysql', 'oauth', 'postgres'])
      expect(isIssuerName(issuer) && names.has(issuer)).toBe(true);
    for (const issuer of ['redis', 'static', 'x509'])
      expect(isIssuerName(issuer) && names.has(issuer)).toBe(true);
    expect(names.size).toBe(10);
    const extended = KINDS.filter(({ facts }) => facts.renewal === 'extended');
    expect(extended.map(({ name }) => name)).toEqual(EXTENDED_KINDS.map(({ name }) => name));
  });

  it.each(KINDS)('$name says nothing of itself that contradicts the rest', ({ facts, fixture }) => {
    const { revocable, witness, backstop, longestSeconds, attempts, listed } = facts;
    const contradictions = {
      'it can be revoked, and only the clock ends it': witness === 'clock' && revocable,
      'only the clock ends it, and the clock does not': witness === 'clock' && !backstop,
      'it is seen to be ended, and cannot be':
        (witness === 'target' || witness === 'lease') && !revocable,
      'it lives on for so long, and for ever': longestSeconds > 0 && !backstop,
      'nobody finds it by its lease, and it never dies': attempts === 'add' && !backstop,
      'it is listed by its lease, and not found by it': listed && attempts !== 'replace',
    };
    expect(Object.entries(contradictions).filter(([, is]) => is)).toEqual([]);
    expect(fixture.theirs !== null).toBe(listed);
    expect(fixture.broken === null).toBe(OWN_TARGETS.has(fixture.target.name));
    expect(fixture.issuer.renew !== undefined).toBe(facts.renewal === 'extended');
  });
});

describe.each(KINDS)('$name', (kind) => {
  const { fixture, facts, lease, issue, toEnd } = kind;
  const { issuer, target, clock } = fixture;

  it('gives what works; what a later attempt gives works too, and takes the place of the earlier where it says so', async () => {
    const held = lease();
    const first = await issue(held);
    expect(await works(kind, first)).toEqual([true]);
    const second = await issue({ ...held, attempt: 2 });
    expect(await works(kind, first, second)).toEqual([facts.attempts !== 'replace', true]);
    const [before, after] = [first, second].map((each) => fixture.secretsOf(each.material));
    expect(facts.attempts === 'share' || !isDeepStrictEqual(before, after)).toBe(true);
    await kind.end(toEnd(held, [first, second]));
  });

  it('says of what kind it is, holds a secret that nobody guesses, and tells its holder when it dies', async () => {
    const held = lease();
    const { material, diesAt, handle } = await issue(held);
    expect(material['kind']).toBe(facts.issuer);
    for (const secret of fixture.secretsOf(material))
      expect(secret.length).toBeGreaterThanOrEqual(20);
    expect([null, ...Object.values(material)]).toContain(diesAt);
    const bound = latest(held.expiresAt, addSeconds(held.issueBy, facts.longestSeconds));
    expect(Date.parse(diesAt ?? bound)).toBeLessThanOrEqual(Date.parse(bound) + 5_000);
    await kind.end(toEnd(held, [{ material, diesAt, handle }]));
  });

  it('says nothing of a secret in what it answers or throws', async () => {
    const held = lease();
    const issued = await issue(held);
    const said: unknown[] = [await kind.end(toEnd(held, [issued]))];
    const ways = [fixture, ...Object.values(fixture.broken ?? {})];
    if (fixture.theirs) ways.push({ ...fixture, issuer: fixture.theirs });
    for (const way of ways)
      said.push(
        await issue(lease({ issueBy: 'never' }), way).catch((error: unknown) => error),
        await way.issuer.revoke(way.target, [toEnd(held, [issued])]),
        await way.issuer
          .verifyDead(way.target, [toEnd(held, [issued])])
          .catch((error: unknown) => error),
        await way.issuer.list(way.target).catch((error: unknown) => error),
      );
    const everything = inspect(
      said.filter((each) => !isIssued(each)),
      { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null },
    );
    for (const secret of [...fixture.secretsOf(issued.material), ...fixture.ownSecrets])
      expect(everything).not.toContain(secret);
  });

  it('makes nothing once its time to be made is over', async () => {
    const late = lease({ issueBy: inSeconds(-2, clock.now()) });
    expect(await refusalOf(issue(late))).toBe('too_late');
    expect(await listOf(kind)).not.toContain(late.credential);
  });

  it('I3: revoking what never was comes to an end, and again', async () => {
    for (const held of [lease(), lease()]) {
      const never = toEnd(held, [], true);
      expect(await kind.endFully(never)).toMatchObject({ isOver: true });
      expect(await kind.endFully(never)).toMatchObject({ isOver: true });
    }
    expect(await kind.end()).toEqual([]);
  });

  it('I3: is ended by revoking exactly where it says that it can be, quietly again, and its neighbour works on', async () => {
    const [held, neighbour] = [lease(), lease()];
    const [issued, kept] = [await issue(held), await issue(neighbour)];
    const said = [];
    for (let again = 0; again < 2; again += 1) {
      const [over] = await kind.end(toEnd(held, [issued]));
      said.push(over && { ...over, outcome: { ...over.outcome, sessionsEnded: 0 } });
      expect(await works(kind, issued)).toEqual([!facts.revocable]);
    }
    expect(said[1]).toEqual(said[0]);
    expect(await works(kind, kept)).toEqual([true]);
    const both = await kind.end(toEnd(held, [issued]), toEnd(neighbour, [kept]));
    expect(both.map(({ outcome }) => outcome.credential)).toEqual([
      held.credential,
      neighbour.credential,
    ]);
    expect(await works(kind, kept)).toEqual([!facts.revocable]);
  });

  it('I3: is said to be dead by whom it says can say so, alive until then, and never while it works', async () => {
    const held = lease();
    const issued = await issue(held);
    const ending = [toEnd(held, [issued])];
    // Our own lease is no witness before it is closed: the issuer knows nothing of it.
    const before = { target: 'alive', clock: 'alive', nobody: 'unknowable', lease: 'gone' };
    expect(await issuer.verifyDead(target, ending)).toEqual([before[facts.witness]]);
    const [over] = await kind.end(...ending);
    const after = { target: 'gone', clock: 'alive', nobody: 'unknowable', lease: 'gone' };
    expect(over?.death).toBe(after[facts.witness]);
    expect(over?.isOver).toBe(facts.witness !== 'clock');
    expect(over?.death === 'gone' && (await works(kind, issued)).includes(true)).toBe(false);
    await kind.endFully(toEnd(held, [issued]));
  });

  it('I3: everything that was made for a lease ends with it', async () => {
    const held = lease();
    const made = [await issue(held), await issue({ ...held, attempt: 2 })];
    expect(await kind.endFully(toEnd(held, made))).toMatchObject({ isOver: true });
    const isEnded = facts.revocable || facts.witness === 'clock';
    expect(await works(kind, ...made)).toEqual([!isEnded, !isEnded]);
  });

  it.each([
    ['and made again', true],
    ['and nothing after it', false],
  ])(
    'I3: an answer that was lost, %s, leaves no second secret that works unseen',
    async (_what, isMadeAgain) => {
      const held = lease();
      const lost = await issue(held);
      const heard = isMadeAgain ? [await issue({ ...held, attempt: 2 })] : [];
      const ending = toEnd(held, heard, true);
      const [over] = await kind.end(ending);
      // By its lease it is found at once; elsewhere it is waited for, and not said to be gone until then.
      const isWaitedFor = facts.attempts === 'add' || facts.witness === 'clock';
      expect(over?.isOver === true || isWaitedFor).toBe(true);
      const living = await works(kind, lost, ...heard);
      expect(over?.death === 'gone' && living.includes(true)).toBe(false);
      const last = await kind.endFully(ending);
      expect(last.isOver).toBe(true);
      const isEnded = facts.revocable || facts.witness === 'clock';
      expect(await works(kind, lost, ...heard)).toEqual([lost, ...heard].map(() => !isEnded));
    },
  );

  it('I3: issuing and revoking at once leave nothing that works once revoking has said it is over', async () => {
    for (let round = 0; round < 3; round += 1) {
      const held = lease();
      const [issued] = await Promise.all([
        issue(held).catch((): null => null),
        kind.end(toEnd(held, [], true)),
      ]);
      // Whoever issued finds the lease closed, and ends what was made.
      const made = issued === null ? [] : [issued];
      expect(await kind.endFully(toEnd(held, made, made.length === 0))).toMatchObject({
        isOver: true,
      });
      const isEnded = facts.revocable || facts.witness === 'clock';
      expect(await works(kind, ...made)).toEqual(made.map(() => !isEnded));
      expect(await listOf(kind)).not.toContain(held.credential);
    }
  });

  it('I3: revoking twice at once ends in one that is over', async () => {
    const held = lease();
    const issued = await issue(held);
    const ending = toEnd(held, [issued]);
    await Promise.all([kind.end(ending), kind.end(ending)]);
    expect(await kind.endFully(ending)).toMatchObject({ isOver: true });
    expect((await works(kind, issued)).includes(true) && facts.revocable).toBe(false);
  });

  it('I3: dies by itself when nobody comes to end it, exactly where it says that it does', async () => {
    const held = lease({ expiresAt: inSeconds(2.5, clock.now()) });
    const issued = await issue(held);
    expect(await works(kind, issued)).toEqual([true]);
    await clock.reach(addSeconds(latest(held.expiresAt, issued.diesAt ?? ''), 1));
    const isAlive = async (): Promise<boolean> => (await works(kind, issued))[0] ?? false;
    await eventually(async () => (await isAlive()) !== facts.backstop, 'its death', 5_000);
    expect(await isAlive()).toBe(!facts.backstop);
    expect(await kind.endFully(toEnd(held, [issued]))).toMatchObject({ isOver: true });
  });
});

const byTime = KINDS.filter(({ facts }) => facts.witness === 'clock');
describe.each(byTime)('$name, which only time ends', (kind) => {
  const { fixture, lease, issue, toEnd } = kind;
  const { clock } = fixture;

  it('I3: stays in sight until it is over everywhere, and says when to look again', async () => {
    const held = lease();
    const issued = await issue(held);
    const ending = toEnd(held, [issued]);
    const [over] = await kind.end(ending);
    expect(over?.outcome.code).toBe('not_revocable');
    const { tryAt = '' } = over?.outcome ?? {};
    expect(Date.parse(tryAt)).toBeGreaterThanOrEqual(
      Date.parse(issued.diesAt ?? held.expiresAt) - 1_000,
    );
    await clock.reach(inSeconds(-2, Date.parse(tryAt)));
    expect(await kind.end(ending)).toMatchObject([{ isOver: false, death: 'alive' }]);
    expect(await kind.endFully(ending)).toMatchObject({ isOver: true, death: 'gone' });
    expect(await works(kind, issued)).toEqual([false]);
  });
});

const replacing = KINDS.filter(({ facts }) => facts.attempts === 'replace');
describe.each(replacing)('$name, which replaces', (kind) => {
  it('makes nothing for an attempt that a later one overtook', async () => {
    const held = kind.lease({ attempt: 2 });
    const issued = await kind.issue(held);
    const slower = { ...held, attempt: 1 };
    expect(await refusalOf(kind.fixture.issuer.issue(slower))).toBe('superseded');
    expect(await works(kind, issued)).toEqual([true]);
    await kind.end(kind.toEnd(held, [issued]));
  });
});

describe.each(KINDS.filter(({ facts }) => !facts.listed))('$name, which nobody lists', (kind) => {
  it('says that it cannot be asked, and not that there is nothing', async () => {
    const held = kind.lease();
    const issued = await kind.issue(held);
    expect(await kind.fixture.issuer.list(kind.fixture.target)).toBeNull();
    await kind.end(kind.toEnd(held, [issued]));
  });
});

describe.each(KINDS.filter(({ facts }) => facts.listed))('$name, which is listed', (kind) => {
  const { fixture, lease, issue } = kind;
  const { issuer, theirs, target } = fixture;

  it('I3: a sweep finds what is ours, what no lease knows as well, and nothing once it is ended', async () => {
    const leases = [lease(), lease(), lease()];
    for (const each of leases) await issue(each);
    const names = leases.map(({ credential }) => credential);
    expect(await listOf(kind)).toEqual(expect.arrayContaining(names));
    const orphans = await ended(issuer, target, withoutHandles(names));
    expect(orphans.map(({ isOver }) => isOver)).toEqual([true, true, true]);
    for (const name of names) expect(await listOf(kind)).not.toContain(name);
  });

  it('I3: sees and ends nothing of another deployment, and takes nothing over', async () => {
    if (!theirs) throw new Error('there is no other deployment');
    const held = lease();
    const issued = await theirs.issue(held);
    expect(await listOf(kind)).not.toContain(held.credential);
    expect(await refusalOf(issue(held))).toBe('name_not_ours');
    const [outcome] = await ended(issuer, target, withoutHandles([held.credential]));
    expect(outcome).toMatchObject({ isOver: false, code: 'name_not_ours' });
    expect(await works(kind, issued)).toEqual([true]);
    expect(await ended(theirs, target, withoutHandles([held.credential]))).toMatchObject([
      { isOver: true },
    ]);
    expect(await works(kind, issued)).toEqual([false]);
  });
});

describe.each(KINDS.filter(({ fixture }) => fixture.broken))('$name in trouble', (kind) => {
  const { fixture, facts, lease, issue, toEnd } = kind;
  const waysOf = () => {
    if (!fixture.broken) throw new Error('there is no target to reach');
    return fixture.broken;
  };

  it('tells a target that is away from one that says no and one that makes no sense', async () => {
    const ways = waysOf();
    const codes = [];
    for (const trouble of TROUBLES) codes.push(await refusalOf(issue(lease(), ways[trouble])));
    for (const code of codes) expect(code).toMatch(CODE);
    expect(codes).toEqual([...new Set(codes)]);
  });

  it.each(TROUBLES)(
    'I3: loses nothing while it is %s: what works is not said to be gone',
    async (trouble) => {
      const { issuer, target } = waysOf()[trouble];
      const [held, other] = [lease(), lease()];
      const made = [await issue(held), await issue(other)] as const;
      const ending = [toEnd(held, [made[0]]), toEnd(other, [made[1]])];
      const said = await endCredentials(issuer, target, ending);
      expect(said.map(({ outcome }) => outcome.credential)).toEqual([
        held.credential,
        other.credential,
      ]);
      for (const [at, { outcome, death, isOver }] of said.entries()) {
        expect(outcome.code ?? 'none').toMatch(CODE);
        expect(isOver && outcome.code !== null).toBe(false);
        const living = await works(kind, ...made.slice(at, at + 1));
        expect(death === 'gone' && living.includes(true)).toBe(false);
      }
      const listed = await issuer.list(target).catch(() => null);
      expect(listed).toBeNull();
      for (const each of ending) expect(await kind.endFully(each)).toMatchObject({ isOver: true });
      const isEnded = facts.revocable || facts.witness === 'clock';
      expect(await works(kind, ...made)).toEqual([!isEnded, !isEnded]);
    },
  );

  it('I3: a target that policy no longer has is out of reach, and nothing there is said to be over', async () => {
    const gone = { ...fixture.target, definition: null };
    const { issuer } = fixture;
    expect(await refusalOf(issue(lease(), { issuer, target: gone }))).toBe('target_not_configured');
    const held = lease();
    const issued = await issue(held);
    const [said] = await endCredentials(issuer, gone, [toEnd(held, [issued])]);
    expect(said).toMatchObject({ isOver: false, death: 'alive' });
    expect(said?.outcome.code).toMatch(CODE);
    const [never] = await endCredentials(issuer, gone, withoutHandles([newId('credential')]));
    expect(never?.isOver).toBe(false);
    expect(await kind.endFully(toEnd(held, [issued]))).toMatchObject({ isOver: true });
  });
});

const isIssued = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'material' in value;
