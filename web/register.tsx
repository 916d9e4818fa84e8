// The form that registers an agent.
import { AreaField, SelectField, Submit, TextField } from './fields.tsx';
import { Form, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

/** What a registration takes, and what was typed before it was refused. */
export interface Registration {
  kinds: readonly string[];
  people: readonly { id: string; name: string }[];
  values: Readonly<Record<string, string>>;
  once: string;
}

/** Takes only public keys; a private one is refused, and has to be made anew. */
export const Register = ({
  shell,
  registration: { kinds, people, values, once },
}: {
  shell: Shell;
  registration: Registration;
}): Html => (
  <Form shell={shell} action="/agents#register">
    <input type="hidden" name="once" value={once} />
    <TextField
      id="name"
      label="Name"
      hint="Lower-case letters, digits and dashes; never used again."
      required
      max={63}
      pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?"
      value={values['name']}
    />
    <div class="pair">
      <SelectField
        id="kind"
        label="Kind"
        value={values['kind']}
        options={kinds.map((kind) => ({ value: kind, label: kind.replaceAll('_', ' ') }))}
      />
      <SelectField
        id="owner"
        label="Owner"
        value={values['owner'] ?? shell.reader?.id}
        options={people.map(({ id, name }) => ({ value: id, label: name }))}
      />
    </div>
    <TextField id="team" label="Team" required max={100} value={values['team']} />
    <AreaField
      id="purpose"
      label="Purpose"
      hint="What it is for. Its approvers read this."
      required
      max={2000}
      value={values['purpose']}
    />
    <AreaField
      id="key"
      label="Public key (JWK)"
      hint={
        <>
          EC on P-256: <code>{'{"kty":"EC","crv":"P-256","x":"…","y":"…"}'}</code>.{' '}
          <code>npx countersign keygen --out orders-bot.json</code> makes one.
        </>
      }
      required
      rows={4}
      mono
      value={values['key']}
    />
    <Submit label="Register" />
  </Form>
);
