// Lines of a PostgreSQL server's own log in its `jsonlog` form, read as what they say about sessions.
import { fromMs, toMs } from './instant.ts';
import type { JsonObject } from './json.ts';

interface LineFacts {
  /** The server's name for the session, unique while its log is. */
  session: string;
  /** Position of the line within its session. */
  line: number;
  at: string;
  user: string;
  database: string;
  /** The virtual transaction that the line was written in; empty outside any. */
  transaction: string;
}

export type LogLine = LineFacts &
  (
    | { kind: 'login' }
    | { kind: 'logout' }
    /** `isSure` unless clients could have written what stands before the text, or the text itself is not there. */
    | { kind: 'statement'; text: string; isSure: boolean }
    /** A text that was not carried out to its end; `refused` when permission was missing. */
    | { kind: 'error'; refused: boolean; statement: string | null }
  );

/** How the server writes time: what its zone's abbreviations mean, and what to take for a time it cannot tell. */
export interface LogClock {
  /** Offsets such as `+02:00`, by abbreviation. */
  offsets: ReadonlyMap<string, string>;
  otherwise: string;
}

const LOGIN = /^connection authorized: /;
const LOGOUT = /^disconnection: /;
/** SQLSTATE class 42501 and 28xxx: insufficient privilege, invalid authorization. */
const REFUSED = /^(?:42501|28\w{3})$/;

/** Reads one parsed line; null for lines that say nothing about who did what. */
export function readLogLine(line: JsonObject, clock: LogClock): LogLine | null {
  const facts = factsOf(line, clock);
  const message = text(line['message']);
  if (!facts) return null;
  if (LOGIN.test(message)) return { ...facts, kind: 'login' };
  if (LOGOUT.test(message)) return { ...facts, kind: 'logout' };
  const statement = statementIn(message);
  if (statement) return { ...facts, kind: 'statement', ...statement };
  const severity = text(line['error_severity']);
  if (severity !== 'ERROR' && severity !== 'FATAL') return null;
  const refused = REFUSED.test(text(line['state_code']));
  return { ...facts, kind: 'error', refused, statement: text(line['statement']) || null };
}

const STATEMENT = 'statement: ';
/** Clients choose the name before the colon, so it may hold a colon and the beginning of a comment. */
const EXECUTE = 'execute ';
const FASTPATH = 'fastpath function call: ';
/** A colon after which a statement could begin: then the name might end there, and what came before be made up. */
const OTHER_SPLIT =
  /: \s*(?:[(;/]|--|(?:abort|alter|analy[sz]e|begin|call|checkpoint|close|cluster|comment|commit|copy|create|deallocate|declare|delete|discard|do|drop|end|execute|explain|fetch|grant|import|insert|listen|load|lock|merge|move|notify|prepare|reassign|refresh|reindex|release|reset|revoke|rollback|savepoint|security|select|set|show|start|table|truncate|unlisten|update|vacuum|values|with)\b)/i;

/** The text of a statement that a message tells of, and whether that is the text for certain. */
export function statementIn(message: string): { text: string; isSure: boolean } | null {
  if (message.startsWith(STATEMENT)) return { text: message.slice(STATEMENT.length), isSure: true };
  if (message.startsWith(FASTPATH)) return { text: message, isSure: false };
  if (!message.startsWith(EXECUTE)) return null;
  const split = message.indexOf(': ');
  if (split < 0) return { text: message, isSure: false };
  const found = message.slice(split + 2);
  return { text: found, isSure: !OTHER_SPLIT.test(found) };
}

function factsOf(line: JsonObject, clock: LogClock): LineFacts | null {
  const [session, user, database] = [
    text(line['session_id']),
    text(line['user']),
    text(line['dbname']),
  ];
  const number = line['line_num'];
  if (session === '' || user === '' || database === '' || typeof number !== 'number') return null;
  const at = instantOf(text(line['timestamp']), clock.offsets) ?? clock.otherwise;
  return { session, line: number, at, user, database, transaction: text(line['vxid']) };
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** `2026-11-21 09:07:14.123 CET`: the zone as an abbreviation that the server told us of, or as an offset. */
function instantOf(timestamp: string, offsets: ReadonlyMap<string, string>): string | null {
  const parts =
    /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?) (?:([+-]\d\d):?(\d\d)?|([A-Za-z]{1,10}))$/.exec(
      timestamp,
    );
  if (!parts) return null;
  const [, day = '', time = '', hours, minutes = '00', name = ''] = parts;
  const known = name === 'UTC' || name === 'GMT' ? 'Z' : offsets.get(name);
  const offset = hours === undefined ? known : `${hours}:${minutes}`;
  if (offset === undefined) return null;
  try {
    return fromMs(toMs(`${day}T${time}${offset}`));
  } catch {
    return null;
  }
}
