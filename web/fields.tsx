// Labelled inputs: each has a label of its own, and its hint is announced with it.
import type { Child } from 'hono/jsx';
import { visible } from '../domain/card.ts';
import { Field, type Html } from './parts.tsx';

interface Common {
  id: string;
  /** What the form calls it; the id where that is the same. */
  name?: string;
  label: string;
  hint?: Child;
  value?: string | undefined;
  required?: boolean;
  max?: number;
}

const described = (id: string, hint: Child): string | undefined =>
  hint ? `${id}-hint` : undefined;

/** One line of text. */
export const TextField = ({
  id,
  name = id,
  label,
  hint,
  value = '',
  required,
  max,
  type = 'text',
  pattern,
}: Common & { type?: 'text' | 'email' | 'datetime-local'; pattern?: string }): Html => (
  <Field id={id} label={label} hint={hint}>
    <input
      type={type}
      id={id}
      name={name}
      required={required}
      maxlength={max}
      pattern={pattern}
      autocomplete="off"
      aria-describedby={described(id, hint)}
      value={value}
    />
  </Field>
);

/** Several lines of text. */
export const AreaField = ({
  id,
  name = id,
  label,
  hint,
  value = '',
  required,
  max,
  rows = 2,
  mono,
}: Common & { rows?: number; mono?: boolean }): Html => (
  <Field id={id} label={label} hint={hint}>
    <textarea
      id={id}
      name={name}
      required={required}
      maxlength={max}
      rows={rows}
      class={mono ? 'mono' : undefined}
      spellcheck={mono ? false : undefined}
      aria-describedby={described(id, hint)}
    >
      {value}
    </textarea>
  </Field>
);

/** One of a few. */
export const SelectField = ({
  id,
  name = id,
  label,
  hint,
  value,
  options,
}: Common & { options: readonly { value: string; label: string }[] }): Html => (
  <Field id={id} label={label} hint={hint}>
    <select id={id} name={name} aria-describedby={described(id, hint)}>
      {options.map((option) => (
        <option value={option.value} selected={option.value === value}>
          {visible(option.label)}
        </option>
      ))}
    </select>
  </Field>
);

/** Yes or no, or one of a group. */
export const Choice = ({
  id,
  name = id,
  label,
  hint,
  type = 'checkbox',
  value = 'on',
  checked,
}: {
  id: string;
  name?: string;
  label: string;
  hint?: Child;
  type?: 'checkbox' | 'radio';
  value?: string;
  checked: boolean;
}): Html => (
  <label class="choice" for={id}>
    <input type={type} id={id} name={name} value={value} checked={checked} />
    <span>
      {label} {hint ? <span class="hint">{hint}</span> : null}
    </span>
  </label>
);

/** The button that sends a form. */
export const Submit = ({
  label,
  tone = 'primary',
  wide,
}: {
  label: string;
  tone?: 'primary' | 'danger' | 'plain';
  wide?: boolean;
}): Html => (
  <div>
    <button
      class={`button ${tone === 'plain' ? '' : `button-${tone}`}${wide ? ' button-wide' : ''}`}
      type="submit"
    >
      {label}
    </button>
  </div>
);
