// What holds for renewing wherever an end is moved in its target: later and never earlier, in time, of what is there, is
// ours and is open, and of nothing else.
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { TargetError, type LeaseToIssue } from '../../commands/credentials/issuer.ts';
import { addSeconds } from '../../domain/instant.ts';
import { EXTENDED_KINDS } from '../support/issuer-fixtures/all.ts';
import {
  inSeconds,
  running,
  TROUBLES,
  type Running,
  type Way,
} from '../support/issuer-fixtures/fixture.ts';

const KINDS = await Promise.all(EXTENDED_KINDS.map(running));
afterAll(async () => {
  for (const { fixture } of KINDS) await fixture.close();
});

/** Renews it, and says `renewed` or the code that it was refused with. */
async function renewed(
  kind: Running,
  lease: LeaseToIssue,
  way: Way = kind.fixture,
): Promise<string> {
  try {
    if (!way.issuer.renew) throw new TypeError('it cannot be renewed');
    await way.issuer.renew({ ...lease, target: way.target });
    return 'renewed';
  } catch (error) {
    if (error instanceof TargetError) return error.code;
    throw error;
  }
}

/** To the second, as targets keep it. */
const second = (at: string): string => `${at.slice(0, 19)}.000Z`;
/** When its target would end it, to the second; null where no target does. */
const endOf = async (
  { fixture }: Running,
  { credential }: LeaseToIssue,
): Promise<string | null> => {
  const at = (await fixture.endsAt?.(credential)) ?? null;
  return at === null ? null : second(at);
};

describe.each(KINDS)('$name', (kind) => {
  const { fixture, facts, lease, issue, toEnd } = kind;
  const expected = (at: string): string | null => (facts.backstop ? second(at) : null);
  const works = ({ material }: Awaited<ReturnType<typeof issue>>): Promise<boolean> =>
    fixture.works(material);

  it('I3: moves the end later and never back, in whatever order and however many at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 30, max: 7_200 }), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (offsets, isAtOnce) => {
          const held = lease();
          const issued = await issue(held);
          const wanted = offsets.map((offset) => addSeconds(held.expiresAt, offset - 60));
          const answers: string[] = [];
          if (isAtOnce)
            answers.push(
              ...(await Promise.all(
                wanted.map((expiresAt) => renewed(kind, { ...held, expiresAt })),
              )),
            );
          else
            for (const expiresAt of wanted)
              answers.push(await renewed(kind, { ...held, expiresAt }));
          expect(answers.filter((each) => each !== 'renewed' && each !== 'superseded')).toEqual([]);
          const through = wanted.filter((_, at) => answers[at] === 'renewed');
          const last = [held.expiresAt, ...through].toSorted().at(-1) ?? '';
          expect(await endOf(kind, held)).toBe(expected(last));
          expect(await works(issued)).toBe(true);
          expect(await kind.end(toEnd(held, [issued]))).toMatchObject([{ isOver: true }]);
        },
      ),
      { numRuns: 6 },
    );
  });

  it('lets it work on past its first end, with the secret that it had, and no longer than the last', async () => {
    const held = lease({ expiresAt: inSeconds(3) });
    const issued = await issue(held);
    const later = { ...held, expiresAt: inSeconds(6) };
    expect(await renewed(kind, later)).toBe('renewed');
    await fixture.clock.reach(addSeconds(held.expiresAt, 1));
    expect(await works(issued)).toBe(true);
    await fixture.clock.reach(addSeconds(later.expiresAt, 1.5));
    expect(await works(issued)).toBe(!facts.backstop);
    await kind.end(toEnd(held, [issued]));
  });

  it('I3: brings nothing back: not what was revoked, not what never was', async () => {
    const held = lease();
    const issued = await issue(held);
    await kind.end(toEnd(held, [issued]));
    for (const gone of [held, lease()]) {
      expect(await renewed(kind, { ...gone, expiresAt: inSeconds(600) })).toBe('gone');
      expect(await fixture.issuer.list(fixture.target)).not.toContain(gone.credential);
    }
    expect(await works(issued)).toBe(false);
  });

  it('I3: renewing and revoking at once end in one that is gone', async () => {
    for (let round = 0; round < 4; round += 1) {
      const held = lease();
      const issued = await issue(held);
      await Promise.all([
        renewed(kind, { ...held, expiresAt: inSeconds(600) }),
        kind.end(toEnd(held, [issued])),
      ]);
      expect(await kind.end(toEnd(held, [issued]))).toMatchObject([{ isOver: true }]);
      expect(await works(issued)).toBe(false);
      expect(await fixture.issuer.list(fixture.target)).not.toContain(held.credential);
    }
  });

  it('is refused once its time is over, to an attempt that was overtaken, and to another deployment', async () => {
    const held = lease({ attempt: 2 });
    const issued = await issue(held);
    const later = { ...held, expiresAt: inSeconds(600) };
    expect(await renewed(kind, { ...later, issueBy: inSeconds(-2) })).toBe('too_late');
    expect(await renewed(kind, { ...later, attempt: 1 })).toBe('superseded');
    if (!fixture.theirs) throw new Error('there is no other deployment');
    expect(await renewed(kind, later, { ...fixture, issuer: fixture.theirs })).toBe(
      'name_not_ours',
    );
    expect(await endOf(kind, held)).toBe(expected(held.expiresAt));
    expect(await renewed(kind, later)).toBe('renewed');
    await kind.end(toEnd(held, [issued]));
  });

  it.each(TROUBLES)(
    'changes nothing while its target is %s, and says a word of ours',
    async (trouble) => {
      if (!fixture.broken) throw new Error('there is no target to reach');
      const held = lease();
      const issued = await issue(held);
      const later = { ...held, expiresAt: inSeconds(600) };
      const code = await renewed(kind, later, fixture.broken[trouble]);
      expect(code).toMatch(/^[a-z0-9_]{1,64}$/);
      expect(code).not.toBe('renewed');
      expect(await endOf(kind, held)).toBe(expected(held.expiresAt));
      expect(await works(issued)).toBe(true);
      await kind.end(toEnd(held, [issued]));
    },
  );
});
