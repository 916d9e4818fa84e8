// A password in two halves: alone neither says anything, together they open what was made and nothing else.
import { describe, expect, it } from 'vitest';
import { base64url, fromBase64url } from '../../domain/bytes.ts';
import {
  joinShares,
  KIT_SECRET_BYTES,
  passwordOf,
  readShare,
  sharesOf,
  splitSecret,
  type KitShare,
} from '../../domain/glass-kit.ts';

const NOW = '2026-11-22T00:00:00.000Z';
const FACTS = {
  kit: 'kit_1',
  role: 'orders-write',
  target: 'sample',
  host: 'db.example',
  port: 5432,
  database: 'orders',
  username: 'csk_1',
  expires_at: '2026-11-29T00:00:00.000Z',
};

const random = (): Uint8Array => crypto.getRandomValues(new Uint8Array(KIT_SECRET_BYTES));

function made(facts = FACTS): { password: string; shares: [KitShare, KitShare] } {
  const secret = random();
  return { password: passwordOf(secret), shares: sharesOf(facts, secret, random()) };
}

const outcome = (one: KitShare, other: KitShare, now = NOW): string => {
  const joined = joinShares(one, other, now);
  return joined.outcome === 'opened' ? joined.password : joined.fault;
};

describe('two halves', () => {
  it('come to the password, in either order', () => {
    const { password, shares } = made();
    const [one, other] = shares;
    expect([outcome(one, other), outcome(other, one)]).toEqual([password, password]);
    expect(password).toHaveLength(43);
  });

  it('any password is consistent with either half alone: for each there is another half that leads to it', () => {
    for (let tries = 0; tries < 200; tries += 1) {
      const [first, second] = splitSecret(random(), random());
      const any = random();
      for (const half of [first, second]) {
        const missing = half.map((byte, at) => byte ^ (any[at] ?? 0));
        expect(half.map((byte, at) => byte ^ (missing[at] ?? 0))).toEqual(any);
      }
    }
  });

  it('every bit of either half is as often one as it is zero, whatever the password', () => {
    const secret = new Uint8Array(KIT_SECRET_BYTES);
    const rounds = 2_000;
    const ones = [0, 0];
    for (let tries = 0; tries < rounds; tries += 1)
      for (const [at, half] of splitSecret(secret, random()).entries())
        ones[at] = (ones[at] ?? 0) + ((half[0] ?? 0) & 1);
    // Ten standard deviations: a half that leaked this bit would show 0 or 2,000 of them.
    for (const count of ones) expect(Math.abs(count - rounds / 2)).toBeLessThan(224);
  });

  it('a secret or a pad of another length is no secret and no pad', () => {
    expect(() => splitSecret(new Uint8Array(31), random())).toThrow(RangeError);
    expect(() => splitSecret(random(), new Uint8Array(33))).toThrow(RangeError);
  });

  it('neither file has the password, nor the other half', () => {
    const { password, shares } = made();
    const [one, other] = shares;
    expect(JSON.stringify(one)).not.toContain(password);
    expect(JSON.stringify(one)).not.toContain(other.share);
    expect(JSON.stringify(other)).not.toContain(one.share);
  });
});

const flipped = (share: string): string => {
  const bytes = fromBase64url(share) ?? new Uint8Array(0);
  return base64url(bytes.map((byte, at) => (at === 5 ? byte ^ 1 : byte)));
};

describe('what is not right is noticed, and nothing of the password is said', () => {
  const { shares } = made();
  const [one, other] = shares;
  it.each<[string, KitShare, KitShare, string]>([
    ['the same half twice', one, one, 'same_half'],
    ['a half of another kit', one, made({ ...FACTS, kit: 'kit_2' }).shares[1], 'foreign'],
    ['a half of the same kit as it was made another time', one, made().shares[1], 'altered'],
    ['a half with a bit turned', { ...one, share: flipped(one.share) }, other, 'damaged'],
    ['a half that calls itself the other one', { ...one, seat: 2 }, other, 'same_half'],
    ['a half that is swapped with its name', { ...one, seat: 2 }, { ...other, seat: 1 }, 'damaged'],
    ['a host that was changed', { ...one, host: 'evil.example' }, other, 'altered'],
    ['a host that was changed in both', { ...one, host: 'x' }, { ...other, host: 'x' }, 'altered'],
    ['a later end', { ...one, expires_at: '2027-01-01T00:00:00.000Z' }, other, 'altered'],
    ['another port', one, { ...other, port: 1 }, 'altered'],
    ['another database', one, { ...other, database: 'x' }, 'altered'],
    ['another check', one, { ...other, check: one.share }, 'altered'],
  ])('%s', (_what, first, second, fault) => {
    expect([outcome(first, second), outcome(second, first)]).toEqual([fault, fault]);
  });

  it('a half whose digest was turned with it does not pass either', () => {
    const bent = flipped(one.share);
    const forged = sharesOf(FACTS, random(), fromBase64url(bent) ?? new Uint8Array(0))[0];
    const turned: KitShare = { ...one, share: bent, share_checks: forged.share_checks };
    expect(outcome(turned, { ...other, share_checks: other.share_checks })).toBe('altered');
  });

  it('a kit whose time is over', () => {
    expect(outcome(one, other, FACTS.expires_at)).toBe('expired');
    expect(outcome(one, other, '2026-11-28T23:59:59.999Z')).not.toBe('expired');
  });

  it('what is no half is read as none', () => {
    expect(readShare(one)).toEqual(one);
    const wrong = [
      null,
      1,
      {},
      { ...one, seat: 3 },
      { ...one, port: '1' },
      { ...one, share_checks: ['a'] },
    ];
    expect(wrong.map(readShare)).toEqual(wrong.map(() => null));
  });
});
