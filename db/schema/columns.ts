// Column types shared by all tables.
import { customType } from 'drizzle-orm/pg-core';
import type { Digest } from '../../domain/digest.ts';
import type { Id, Noun } from '../../domain/id.ts';

/** An RFC 3339 instant in UTC with milliseconds; PostgreSQL keeps it as timestamptz. */
export const instant = customType<{ data: string; driverData: string }>({
  dataType: () => 'timestamp(3) with time zone',
  fromDriver: (value) => new Date(value).toISOString(),
});

export const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  // postgres.js hands out a Node Buffer, whose methods differ from those of the array it extends.
  fromDriver: (value) => new Uint8Array(value),
  toDriver: (value) => Buffer.from(value),
});

/** An id, ordered byte by byte so that it sorts and partitions by time. */
export const id = <N extends Noun>(_noun: N) =>
  customType<{ data: Id<N>; driverData: string }>({ dataType: () => 'text collate "C"' });

export const digest = customType<{ data: Digest; driverData: string }>({ dataType: () => 'text' });
