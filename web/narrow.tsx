// Approving less than was asked for: what to leave out, then what that changes, then the approval.
import {
  levelField,
  someField,
  type NarrowOffer,
  type OfferedOption,
} from '../domain/narrow-form.ts';
import { Hidden, isSigned, signAt } from './ballot-parts.tsx';
import { Field, Form, Untrusted, type Html } from './parts.tsx';
import { WhatYouSign } from './passkey.tsx';
import type { Draft, RequestView } from './request-data.ts';
import type { Shell } from './shell.ts';

interface Props {
  shell: Shell;
  view: RequestView;
}

/** The form that puts a narrower approval together. It decides nothing yet. */
export const Narrow = ({ shell, view }: Props): Html => (
  <details class="confirm">
    <summary class="button">Approve less…</summary>
    <Form shell={shell} action={`/requests/${view.id}`}>
      <input type="hidden" name="shown" value={view.shown} />
      <input type="hidden" name="decision" value="preview" />
      <Times narrowable={view.narrowable} />
      {view.narrowable.options.map((option) => (
        <Option option={option} />
      ))}
      <Field id="narrow-reason" label="Note (optional)">
        <textarea id="narrow-reason" name="reason" rows={2} maxlength={2000}></textarea>
      </Field>
      <button class="button button-wide" type="submit">
        Show what changes
      </button>
    </Form>
  </details>
);

const Times = ({ narrowable }: { narrowable: NarrowOffer }): Html => (
  <>
    {narrowable.ttlSeconds === null ? null : (
      <Seconds id="narrow-ttl" name="ttl_seconds" label="Lasts" value={narrowable.ttlSeconds} />
    )}
    <Seconds
      id="narrow-valid"
      name="valid_seconds"
      label="The approval is good"
      value={narrowable.validSeconds}
    />
    {narrowable.uses === 1 ? null : (
      <Field id="narrow-uses" label={`Uses (at most ${narrowable.uses})`}>
        <input
          type="number"
          id="narrow-uses"
          name="uses"
          min={1}
          max={narrowable.uses}
          value={narrowable.uses}
        />
      </Field>
    )}
    {narrowable.start === null ? null : (
      <Field id="narrow-start" label="Starts (UTC)" hint="Later only.">
        <input
          type="text"
          id="narrow-start"
          name="not_before"
          maxlength={40}
          value={narrowable.start}
          aria-describedby="narrow-start-hint"
        />
      </Field>
    )}
  </>
);

const Seconds = ({
  id,
  name,
  label,
  value,
}: {
  id: string;
  name: string;
  label: string;
  value: number;
}): Html => (
  <Field id={id} label={`${label} (seconds, at most ${value})`}>
    <input type="number" id={id} name={name} min={1} max={value} value={value} />
  </Field>
);

const Option = ({ option }: { option: OfferedOption }): Html => (
  <fieldset>
    <legend class="legend">Of the {option.name}</legend>
    {option.some?.map((each, index) => (
      <label class="choice" for={`some-${option.name}-${index}`}>
        <input
          type="checkbox"
          id={`some-${option.name}-${index}`}
          name={someField(option.name, index)}
          checked
        />
        <Untrusted text={each} />
      </label>
    ))}
    {option.levels.map(([name, upTo], index) => (
      <Field id={`level-${option.name}-${index}`} label={name}>
        <select id={`level-${option.name}-${index}`} name={levelField(option.name, index)}>
          <option value="">none</option>
          {upTo.map((level, place) => (
            <option value={level} selected={place === upTo.length - 1}>
              {level}
            </option>
          ))}
        </select>
      </Field>
    ))}
  </fieldset>
);

/** What the agent asked for beside what it would get, and the button that gives it. */
export const Drafted = ({ shell, view, draft }: Props & { draft: Draft }): Html => (
  <>
    <h3>Changes the agent will not see coming</h3>
    <table>
      <thead>
        <tr>
          <th scope="col">What</th>
          <th scope="col">Now</th>
          <th scope="col">You leave</th>
        </tr>
      </thead>
      <tbody>
        {draft.changes.map(({ label, before, after }) => (
          <tr>
            <th scope="row">
              <Untrusted text={label} />
            </th>
            <td>
              <Untrusted text={before} />
            </td>
            <td>
              <Untrusted text={after} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
    <Form shell={shell} action={`/requests/${view.id}`} sign={signAt(view)}>
      <Hidden view={view} decision="approve" />
      <input type="hidden" name="narrow" value={draft.narrow} />
      <input type="hidden" name="reason" value={draft.reason} />
      {isSigned(view) ? <WhatYouSign decision="approve less" view={view} /> : null}
      <button class="button button-primary button-wide" type="submit">
        {isSigned(view) ? 'Sign and approve this much' : 'Approve this much'}
      </button>
    </Form>
    <p class="note">
      <a href={`/requests/${view.id}`}>Start over</a>
    </p>
  </>
);
