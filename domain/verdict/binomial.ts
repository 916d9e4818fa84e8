// Exact one-sided binomial bounds (Clopper–Pearson), rounded so that every machine prints the same.

/** P(X ≤ k) for X ~ Binomial(n, p). */
function cumulative(k: number, n: number, p: number): number {
  if (p <= 0) return 1;
  if (p >= 1) return k >= n ? 1 : 0;
  // Summed in logarithms: for large n the terms themselves underflow.
  let term = n * Math.log1p(-p);
  let sum = Math.exp(term);
  for (let i = 1; i <= k; i += 1) {
    term += Math.log(n - i + 1) - Math.log(i) + Math.log(p) - Math.log1p(-p);
    sum += Math.exp(term);
  }
  return Math.min(1, sum);
}

/** Bisection to well below what is printed. */
const STEPS = 60;

function solve(isBelow: (p: number) => boolean): number {
  let low = 0;
  let high = 1;
  for (let step = 0; step < STEPS; step += 1) {
    const middle = (low + high) / 2;
    if (isBelow(middle)) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Away from the claim, so that a rounded bound never says more than the exact one. */
const down = (p: number): number => Math.floor(p * 1000) / 1000;
const up = (p: number): number => Math.ceil(p * 1000) / 1000;

/** The lower bound on a share of which k of n were seen, at this confidence. */
export function lowerBound(k: number, n: number, confidence: number): number {
  if (n === 0 || k === 0) return 0;
  return down(solve((p) => 1 - cumulative(k - 1, n, p) < 1 - confidence));
}

/** The upper bound on a share of which k of n were seen, at this confidence. */
export function upperBound(k: number, n: number, confidence: number): number {
  if (n === 0 || k === n) return 1;
  return up(solve((p) => cumulative(k, n, p) > 1 - confidence));
}
