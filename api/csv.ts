// Tables for spreadsheets.

type Cell = string | number | boolean | null;

/** RFC 4180, with cells that a spreadsheet would run as a formula made harmless. */
export function toCsv<K extends string>(
  columns: readonly K[],
  lines: readonly Readonly<Record<K, Cell>>[],
): string {
  const rows = [
    columns.join(','),
    ...lines.map((line) => columns.map((name) => cell(line[name])).join(',')),
  ];
  return `${rows.join('\r\n')}\r\n`;
}

function cell(value: Cell): string {
  const text = value === null ? '' : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
