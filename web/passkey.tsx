// What pages need to have something signed by an authenticator. Without scripts there is nothing to press, and it says so.
import { TextField } from './fields.tsx';
import { Code, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

/** The script, for pages on which an authenticator is asked. */
export const PasskeyScript = ({ shell }: { shell: Shell }): Html => (
  <script src={shell.assets.passkey} defer></script>
);

/** Where the script says what went wrong. */
const Said = (): Html => <p class="said" data-said role="alert" hidden></p>;

/** There until the script has found that it can do something. */
const NeedsScripts = (): Html => (
  <p class="strong" data-needs-scripts>
    This takes a passkey, and a passkey takes scripts: allow them for this site.
  </p>
);

/** Signs in, also over a session that is not fresh any more. */
export const PasskeySignIn = ({
  shell,
  next,
  label,
}: {
  shell: Shell;
  next: string;
  label: string;
}): Html => (
  <>
    <form class="form form-stack" method="post" action="/sign-in" data-passkey="sign-in" hidden>
      <input type="hidden" name="csrf_token" value={shell.csrf} />
      <input type="hidden" name="next" value={next} />
      <button class="button button-primary button-wide" type="submit">
        {label}
      </button>
      <Said />
    </form>
    <NeedsScripts />
  </>
);

/** Makes a passkey on this device, or on one beside it. */
export const AddPasskey = ({ shell }: { shell: Shell }): Html => (
  <>
    <form class="form form-stack" method="post" action="/me" data-passkey="add" hidden>
      <input type="hidden" name="csrf_token" value={shell.csrf} />
      <TextField
        id="name"
        label="Name"
        hint="To tell your passkeys apart, such as “Phone”."
        required
        max={60}
      />
      <div>
        <button class="button button-primary" type="submit">
          Add a passkey
        </button>
      </div>
      <Said />
    </form>
    <NeedsScripts />
  </>
);

const SAYS = {
  approve: 'that you approve exactly what is shown above',
  'approve less': 'that you approve what is shown above as far as you leave it, and no more',
  deny: 'that you deny exactly what is shown above',
};

/** What a signature on a decision says, in words, above the button that asks for it. */
export const WhatYouSign = ({
  decision,
  view,
}: {
  decision: 'approve' | 'approve less' | 'deny';
  view: { id: string; shown: string };
}): Html => (
  <div class="signs">
    <p>
      <strong>What you sign:</strong> {SAYS[decision]}, for the reason that you give here, now, and
      nothing else.
    </p>
    <p class="note">
      Request <Code text={view.id} />, shown as <Code text={view.shown} />. The signature is kept in
      the log, where anybody can check it.
    </p>
    <Said />
    <NeedsScripts />
  </div>
);
