// Logins that lie ready, as the page of emergencies shows them to its reader.
import { holdersOf, newestKits } from '../../commands/exceptions/glass-kits.ts';
import { isAdmin } from '../../commands/principal.ts';
import type { GlassKitRow } from '../../db/rows.ts';
import type { KitLine } from '../../web/glass-kits.tsx';
import { reader, type ConsoleDeps, type Visit } from './console.ts';
import { personNames } from './names.ts';

/** Kits on the page; the API has the rest. */
const SHOWN = 50;

/** The newest kits, with what the reader has to do about each. */
export async function kitLines(visit: Visit, deps: ConsoleDeps): Promise<KitLine[]> {
  const { query } = deps.db;
  const rows = await newestKits(query, SHOWN);
  const name = await personNames(query, rows.flatMap(holdersOf));
  const who = reader(visit);
  return rows.map((row) => ({
    ...{ id: row.id, request: row.request, role: row.role, target: row.target, state: row.state },
    holders: row.seats.map((seat) => ({
      name: name(seat.person),
      hasKey: seat.key !== null,
      hasCollected: seat.collected_at !== null,
    })),
    createdAt: row.createdAt,
    expiresAt: row.expiresAt,
    checkedAt: row.checkedAt,
    checked: row.checked,
    because: row.because,
    failure: row.failure,
    mine: taskOf(row, who.id),
    isMine: holdersOf(row).includes(who.id) || isAdmin(who),
  }));
}

function taskOf({ seats, state }: GlassKitRow, reading: string): KitLine['mine'] {
  const seat = seats.find(({ person }) => person === reading);
  if (!seat) return null;
  if (state === 'waiting' && seat.key === null) return 'bring_key';
  return state === 'ready' && seat.collected_at === null ? 'collect' : null;
}
