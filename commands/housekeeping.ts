// Forgetting what has served its purpose, and making room for what comes.
import { lt, sql } from 'drizzle-orm';
import {
  dpopProof,
  joinToken,
  passkeyChallenge,
  revokedToken,
  signInLink,
  usedAssertion,
} from '../db/schema/index.ts';
import { addSeconds } from '../domain/instant.ts';
import { forgetDeferrals } from './approvals/deferrals.ts';
import { forgetDenials } from './authzen/denials.ts';
import { forgetNotices } from './channels/notices.ts';
import { forgetCertificates } from './credentials/certificates.ts';
import { forgetStatusLists } from './credentials/token-status.ts';
import { forgetOldKeys } from './once.ts';
import { forgetOldResults } from './runs/runs.ts';
import { forgetForeignBundles } from './sign-in/foreign-bundles.ts';
import { forgetOldDeliveries } from './signals/deliveries.ts';
import { forgetSlack } from './slack/inbox.ts';
import type { Unit } from './unit.ts';

const hoursBefore = (at: string, hours: number): string => addSeconds(at, -hours * 3600);

export async function forgetOld(unit: Unit): Promise<void> {
  await forgetOldKeys(unit);
  await forgetDeferrals(unit);
  await forgetOldDeliveries(unit);
  await forgetNotices(unit);
  await forgetDenials(unit);
  await forgetCertificates(unit);
  await forgetForeignBundles(unit);
  await forgetOldResults(unit);
  await unit.sql.delete(usedAssertion).where(lt(usedAssertion.expiresAt, hoursBefore(unit.at, 1)));
  await unit.sql.delete(dpopProof).where(lt(dpopProof.expiresAt, hoursBefore(unit.at, 1)));
  await unit.sql.delete(revokedToken).where(lt(revokedToken.expiresAt, hoursBefore(unit.at, 1)));
  await forgetStatusLists(unit, hoursBefore(unit.at, 1));
  await forgetSlack(unit);
  await unit.sql
    .delete(passkeyChallenge)
    .where(lt(passkeyChallenge.expiresAt, hoursBefore(unit.at, 1)));
  await unit.sql.delete(joinToken).where(lt(joinToken.expiresAt, hoursBefore(unit.at, 24 * 30)));
  await unit.sql.delete(signInLink).where(lt(signInLink.expiresAt, hoursBefore(unit.at, 24 * 30)));
  await unit.sql.execute(sql`select countersign_ensure_partitions()`);
}
