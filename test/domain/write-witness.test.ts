import { describe, expect, it } from 'vitest';
import { fromMs } from '../../domain/instant.ts';
import { openWitness, type RowCount } from '../../domain/write-witness.ts';

const at = (seconds: number): string => fromMs(seconds * 1000);
const orders = (rows: number, table = '16401'): RowCount[] => [
  { table, name: 'orders', names: ['orders', 'orders_2026'], rows },
];

describe('rows that a target counted', () => {
  it('are surplus when no statement that was seen can explain them', () => {
    const witness = openWitness(0);
    expect(witness.compare(orders(10), at(0))).toEqual([]);
    witness.saw('s1', ['payouts']);
    expect(witness.compare(orders(13), at(5))).toEqual([{ name: 'orders', rows: 3 }]);
    expect(witness.compare(orders(13), at(10))).toEqual([]);
  });

  it('are explained by any write to the table or a part of it, however many they are', () => {
    for (const explains of [['orders'], ['orders_2026'], 'any'] as const) {
      const witness = openWitness(0);
      witness.compare(orders(10), at(0));
      witness.saw('s1', explains);
      expect(witness.compare(orders(900), at(5))).toEqual([]);
    }
  });

  it('are explained while the session is open and a while longer, and then no more', () => {
    const witness = openWitness(0);
    witness.compare(orders(10), at(0));
    witness.saw('s1', ['orders']);
    expect(witness.compare(orders(11), at(100))).toEqual([]);
    expect(witness.compare(orders(12), at(200))).toEqual([]);
    witness.left('s1', at(210));
    expect(witness.compare(orders(13), at(220))).toEqual([]);
    expect(witness.compare(orders(14), at(224))).toEqual([]);
    expect(witness.compare(orders(14), at(230))).toEqual([]);
    expect(witness.compare(orders(15), at(240))).toEqual([{ name: 'orders', rows: 1 }]);
  });

  it('begin anew after a crash of the target, for a new table, and after a gap of ours', () => {
    const witness = openWitness(0);
    witness.compare(orders(10), at(0));
    expect(witness.compare(orders(4), at(5))).toEqual([]);
    expect(witness.compare(orders(5), at(10))).toEqual([{ name: 'orders', rows: 1 }]);
    expect(witness.compare(orders(900, '17000'), at(15))).toEqual([]);
    witness.reset();
    expect(witness.compare(orders(990, '17000'), at(20))).toEqual([]);
  });

  it('are not compared while sessions from before the start may still hand theirs in', () => {
    const witness = openWitness(60_000);
    witness.compare(orders(10), at(0));
    expect(witness.compare(orders(11), at(59))).toEqual([]);
    expect(witness.compare(orders(12), at(61))).toEqual([{ name: 'orders', rows: 1 }]);
  });
});
