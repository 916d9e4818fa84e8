// The small pieces that pages are made of. Everything that came from outside goes through `Untrusted`.
import type { Child } from 'hono/jsx';
import type { JSX } from 'hono/jsx/jsx-runtime';
import { replaceHidden, visible } from '../domain/card.ts';
import { fromMs, toMs } from '../domain/instant.ts';
import type { Shell } from './shell.ts';

export type Html = JSX.Element;

type Tone = 'good' | 'bad' | 'warn' | 'info' | 'quiet';

const TONES: Record<string, Tone> = {
  active: 'good',
  approved: 'good',
  completed: 'good',
  consumed: 'good',
  effective: 'good',
  real: 'good',
  running: 'good',
  keep: 'good',
  approve: 'good',
  denied: 'bad',
  deny: 'bad',
  decorative: 'bad',
  deficient: 'bad',
  failed: 'bad',
  killed: 'bad',
  rejected: 'bad',
  revoke: 'bad',
  revoke_failed: 'bad',
  superuser: 'bad',
  around_control: 'bad',
  no_password: 'bad',
  open_trust: 'bad',
  makes_roles: 'warn',
  outside_trust: 'warn',
  any_host: 'warn',
  old_secret: 'warn',
  no_expiry: 'warn',
  unseen_90_days: 'warn',
  unmanaged: 'warn',
  adopted: 'good',
  ending: 'warn',
  expired: 'warn',
  insufficient_data: 'warn',
  insufficient_evidence: 'warn',
  open: 'warn',
  pending: 'warn',
  requested: 'warn',
  revoking: 'warn',
  suspended: 'warn',
};

/** A state as a word with a colour; the word alone says everything. */
export const Badge = ({ state, label }: { state: string; label?: string }): Html => (
  <span class={`badge badge-${TONES[state] ?? 'quiet'}`}>{label ?? words(state)}</span>
);

/** `revoke_failed` as people write it. */
export const words = (name: string): string => name.replaceAll('_', ' ');

/** Stands around hidden characters while a text is cut up; it is one itself, so no text still holds it. */
const SEAM = '\u0000';

/** Text that somebody else wrote: escaped, kept apart from ours, with hidden characters made visible. */
export const Untrusted = ({ text }: { text: string }): Html => (
  <bdi class="untrusted">
    {replaceHidden(text, (hidden) => `${SEAM}${visible(hidden)}${SEAM}`)
      .split(SEAM)
      .map((piece, place) =>
        place % 2 === 0 ? (
          piece
        ) : (
          <mark class="hidden-char" title="A hidden character, written out">
            {piece}
          </mark>
        ),
      )}
  </bdi>
);

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** `21 Nov 2026, 10:51 UTC`. */
export function dateText(at: string): string {
  const iso = fromMs(toMs(at));
  const month = MONTHS[Number(iso.slice(5, 7)) - 1] ?? '';
  return `${Number(iso.slice(8, 10))} ${month} ${iso.slice(0, 4)}, ${iso.slice(11, 16)} UTC`;
}

/** A span of time in its largest unit, rounded down. */
export function spanText(seconds: number): string {
  const whole = Math.floor(Math.abs(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) {
    const minutes = Math.floor((whole % 3600) / 60);
    return `${Math.floor(whole / 3600)} h${minutes > 0 ? ` ${minutes} min` : ''}`;
  }
  return `${Math.floor(whole / 86_400)} d`;
}

/** An instant, with how far away it is. Scripts may show it in the reader's own time zone. */
export function Time({ at, now, bare }: { at: string; now: string; bare?: boolean }): Html {
  return (
    <span class="time">
      <time dateTime={at}>{dateText(at)}</time>
      {bare ? null : <span class="distance"> ({distanceText(at, now)})</span>}
    </span>
  );
}

/** How far away an instant is: `in 3 min`, `2 h ago`. */
export function distanceText(at: string, now: string): string {
  const seconds = (toMs(at) - toMs(now)) / 1000;
  if (Math.abs(seconds) < 1) return 'just now';
  return seconds > 0 ? `in ${spanText(seconds)}` : `${spanText(seconds)} ago`;
}

export const MaybeTime = ({
  at,
  now,
  none = 'never',
}: {
  at: string | null;
  now: string;
  none?: string;
}): Html => (at === null ? <span class="quiet">{none}</span> : <Time at={at} now={now} />);

/** An identifier or a digest: whole, in a face where every character is distinct. */
export const Code = ({ text }: { text: string }): Html => <code class="code">{text}</code>;

export interface Fact {
  label: string;
  value: Child;
}

/** Names and what they are, as a description list. */
export const Facts = ({ facts }: { facts: readonly (Fact | null)[] }): Html => (
  <dl class="facts">
    {facts.map(
      (fact) =>
        fact && (
          <div class="fact">
            <dt>{fact.label}</dt>
            <dd>{fact.value}</dd>
          </div>
        ),
    )}
  </dl>
);

/** A titled part of a page. */
export const Panel = ({
  title,
  note,
  actions,
  tone,
  id,
  children,
}: {
  title: string;
  note?: Child;
  actions?: Child;
  tone?: Tone;
  id?: string;
  children?: Child;
}): Html => (
  <section class={tone ? `panel panel-${tone}` : 'panel'} id={id}>
    <div class="panel-head">
      <h2>{title}</h2>
      {actions}
    </div>
    {note ? <p class="note">{note}</p> : null}
    {children}
  </section>
);

/** Something the reader has to know before going on. */
export const Notice = ({
  tone,
  title,
  children,
}: {
  tone: Tone;
  title: string;
  children?: Child;
}): Html => (
  <div class={`notice notice-${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
    <p class="notice-title">{visible(title)}</p>
    {children}
  </div>
);

/** Where there is nothing yet: what would be here, and how it gets here. */
export const Empty = ({ title, children }: { title: string; children?: Child }): Html => (
  <div class="empty">
    <p class="empty-title">{title}</p>
    {children}
  </div>
);

/** Text to copy, with a button where scripts run. */
export const Copy = ({ text, label }: { text: string; label: string }): Html => (
  <div class="copy">
    <pre tabindex={0} aria-label={label}>
      {text}
    </pre>
  </div>
);

export interface Column<T> {
  label: string;
  cell: (row: T) => Child;
}

/** A table that becomes one card per row on a narrow screen. */
export function Table<T>({
  caption,
  columns,
  rows,
}: {
  caption: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
}): Html {
  return (
    <table class="rows">
      <caption class="sr-only">{caption}</caption>
      <thead>
        <tr>
          {columns.map((column) => (
            <th scope="col">{column.label}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr>
            {columns.map((column) => (
              <td data-label={column.label}>
                <div class="cell">{column.cell(row)}</div>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A form that changes something: always a POST, always with the session's token. */
export const Form = ({
  shell,
  action,
  children,
  kind,
  sign,
}: {
  shell: Shell;
  action: string;
  children?: Child;
  kind?: 'inline' | 'stack';
  /** Where to ask what is to be signed before this is sent; null sends it as it is. */
  sign?: string | null;
}): Html => (
  <form
    method="post"
    action={action}
    class={`form form-${kind ?? 'stack'}`}
    data-sign={sign ?? undefined}
  >
    <input type="hidden" name="csrf_token" value={shell.csrf} />
    {children}
  </form>
);

/** A label, its input, and what belongs in it. */
export const Field = ({
  id,
  label,
  hint,
  children,
}: {
  id: string;
  label: string;
  hint?: Child;
  children?: Child;
}): Html => (
  <div class="field">
    <label for={id}>{label}</label>
    {hint ? (
      <p class="hint" id={`${id}-hint`}>
        {hint}
      </p>
    ) : null}
    {children}
  </div>
);

/** A step that cannot be taken back, opened first and then confirmed. */
export const Confirm = ({ label, children }: { label: string; children?: Child }): Html => (
  <details class="confirm">
    <summary class="button button-danger-quiet">{label}</summary>
    <div class="confirm-body">{children}</div>
  </details>
);

/** The way to the next page of a list. */
export const More = ({ href, label }: { href: string | null; label: string }): Html | null =>
  href === null ? null : (
    <p class="more">
      <a class="button" href={href}>
        {label}
      </a>
    </p>
  );

/** What a form was refused with: a sentence, and what is wrong with each field. */
export interface Said {
  says: string;
  details: readonly string[];
}

/** A refused form, above the form as it was filled in. */
export const Problem = ({ said }: { said: Said | null }): Html | null =>
  said && (
    <Notice tone="bad" title={said.says}>
      {said.details.length === 0 ? null : (
        <ul>
          {said.details.map((detail) => (
            <li>{visible(detail)}</li>
          ))}
        </ul>
      )}
    </Notice>
  );

/** A reason field inside a confirmation, with an id of its own. */
export const ReasonField = ({ id, required }: { id: string; required?: boolean }): Html => (
  <Field id={id} label={required ? 'Reason' : 'Reason (optional)'}>
    <input type="text" id={id} name="reason" maxlength={2000} required={required} />
  </Field>
);
