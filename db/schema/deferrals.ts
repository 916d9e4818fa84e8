// Token requests that wait for people (deferred token response). Whoever can write here can make a client wait, or
// bind its code to another key; what the code opens is sealed to a key that follows from the code, which is not here.
import { index, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import type { Confirmation } from '../../domain/delegation.ts';
import { id, instant } from './columns.ts';
import { request } from './requests.ts';

export const deferral = pgTable(
  'deferral',
  {
    /** A keyed digest of the code; the code itself is known to its client alone. */
    mark: text().primaryKey(),
    request: id('request')()
      .notNull()
      .references(() => request.id),
    /** The client it was given to, and the only one that it is good for. */
    agent: id('agent')().notNull(),
    /** The key or certificate that came with the first call, and has to come with every other. */
    confirmation: jsonb().$type<Confirmation>(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    lastPolledAt: instant('last_polled_at'),
  },
  (table) => [index('deferral_expires').on(table.expiresAt)],
);
