// Denials of enforcement points that people could lift, each bound to what was asked. Whoever can write here can have
// people asked about something that nobody was denied, and no more: what they approve is what they are shown.
import { index, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import type { Action } from '../../domain/action.ts';
import { bytes, id, instant } from './columns.ts';
import { request } from './requests.ts';

export const accessDenial = pgTable(
  'access_denial',
  {
    /** The evaluation that said no. */
    id: id('evaluation')().primaryKey(),
    /** Who was told so: nobody else may have it lifted. */
    caller: text().notNull(),
    action: jsonb().$type<Action>().notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    /** What it led to, once people were asked. */
    request: id('request')().references(() => request.id),
    /** What the call back carries, and about which ends it is made, sealed; null where nobody is called. */
    callback: bytes(),
  },
  (table) => [index('access_denial_request').on(table.request)],
);
