import { describe, expect, it } from 'vitest';
import { lowerBound, upperBound } from '../../domain/verdict/binomial.ts';

describe('Clopper–Pearson bounds', () => {
  it.each([
    [9, 9],
    [13, 14],
    [18, 20],
    [21, 24],
    [26, 30],
  ])('%i of %i caught has a lower bound of .70 at 95 percent, and one less has not', (k, n) => {
    expect(lowerBound(k, n, 0.95)).toBeGreaterThanOrEqual(0.7);
    expect(lowerBound(k - 1, n, 0.95)).toBeLessThan(0.7);
  });

  it.each([
    [0, 7],
    [1, 11],
    [2, 14],
    [4, 20],
    [8, 30],
  ])('%i of %i caught has an upper bound below .50 at 99 percent, and one more has not', (k, n) => {
    expect(upperBound(k, n, 0.99)).toBeLessThan(0.5);
    expect(upperBound(k + 1, n, 0.99)).toBeGreaterThanOrEqual(0.5);
  });

  it('59 of 59 has a lower bound of .95 at 95 %, the published figure', () => {
    expect(lowerBound(59, 59, 0.95)).toBe(0.95);
    expect(lowerBound(58, 58, 0.95)).toBeLessThan(0.95);
  });

  it('says nothing of nothing', () => {
    expect(lowerBound(0, 0, 0.95)).toBe(0);
    expect(upperBound(0, 0, 0.95)).toBe(1);
  });

  it('holds for counts whose terms underflow', () => {
    expect(lowerBound(9_500, 10_000, 0.95)).toBeCloseTo(0.946, 2);
  });
});
