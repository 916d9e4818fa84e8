// Structured logs with an allow-list: a field that is not named here never reaches a log.

const FIELDS = [
  'request_id',
  'trace_id',
  'method',
  'route',
  'status',
  'ms',
  'principal',
  'principal_id',
  'error',
  'message',
  'stack',
  'size',
  'appended',
  'target',
  'count',
  'pid',
  'signal',
  'url',
] as const;

export type LogFields = Partial<Record<(typeof FIELDS)[number], string | number | boolean | null>>;
export type Log = (event: string, fields?: LogFields) => void;

/** One JSON object a line. Control characters are escaped by JSON itself, so no value can forge a line. */
export function jsonLog(write: (line: string) => void, process: string): Log {
  return (event, fields = {}) => {
    const line: Record<string, unknown> = { time: new Date().toISOString(), process, event };
    for (const name of FIELDS) if (fields[name] !== undefined) line[name] = fields[name];
    write(`${JSON.stringify(line)}\n`);
  };
}

/**
 * What may be said of an unexpected error: its root cause, and where it happened. The message of a failed
 * query carries the values that were sent with it, so only the innermost message is kept.
 */
export function faultFields(error: unknown): LogFields {
  let root = error;
  while (root instanceof Error && root.cause !== undefined) root = root.cause;
  if (!(root instanceof Error)) return { error: typeof root };
  const frames = root.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? [];
  return {
    error: root.name,
    message: root.message.split('\n')[0]?.slice(0, 300) ?? '',
    stack: frames.slice(0, 12).join('\n'),
  };
}
