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
}

export type LogLine = LineFacts &
  (
    | { kind: 'login' }
    | { kind: 'logout' }
    | { kind: 'statement'; text: string }
    /** A statement that was not carried out; `refused` when permission was missing. */
    | { kind: 'error'; refused: boolean }
  );

const LOGIN = /^connection authorized: /;
const LOGOUT = /^disconnection: /;
const STATEMENT = /^(?:statement|execute [^:]*): /;
/** SQLSTATE class 42501 and 28xxx: insufficient privilege, invalid authorization. */
const REFUSED = /^(?:42501|28\w{3})$/;

/** Reads one parsed line; null for lines that say nothing about who did what. */
export function readLogLine(line: JsonObject): LogLine | null {
  const facts = factsOf(line);
  const message = text(line['message']);
  if (!facts) return null;
  if (LOGIN.test(message)) return { ...facts, kind: 'login' };
  if (LOGOUT.test(message)) return { ...facts, kind: 'logout' };
  if (STATEMENT.test(message))
    return { ...facts, kind: 'statement', text: message.replace(STATEMENT, '') };
  const severity = text(line['error_severity']);
  if (severity === 'ERROR' || severity === 'FATAL')
    return { ...facts, kind: 'error', refused: REFUSED.test(text(line['state_code'])) };
  return null;
}

function factsOf(line: JsonObject): LineFacts | null {
  const [session, user, database] = [
    text(line['session_id']),
    text(line['user']),
    text(line['dbname']),
  ];
  const number = line['line_num'];
  const at = instantOf(text(line['timestamp']));
  if (session === '' || user === '' || database === '' || typeof number !== 'number' || at === null)
    return null;
  return { session, line: number, at, user, database };
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** `2026-11-21 09:07:14.123 UTC`. Other zones are read where they are written as an offset. */
function instantOf(timestamp: string): string | null {
  const parts =
    /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?) (?:UTC|GMT|([+-]\d\d):?(\d\d)?)$/.exec(
      timestamp,
    );
  if (!parts) return null;
  const [, day = '', time = '', hours, minutes = '00'] = parts;
  const offset = hours === undefined ? 'Z' : `${hours}:${minutes}`;
  return fromMs(toMs(`${day}T${time}${offset}`));
}
