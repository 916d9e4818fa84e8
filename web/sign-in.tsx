// Signing in: a link is looked at by GET, and used up only by the button.
import { visible } from '../domain/card.ts';
import { Page } from './layout.tsx';
import { Field, Notice, type Html } from './parts.tsx';
import { PasskeyScript, PasskeySignIn } from './passkey.tsx';
import type { Shell } from './shell.ts';

/** Where somebody without a session lands. */
export const SignInPage = ({
  shell,
  next,
  refusal,
}: {
  shell: Shell;
  next: string;
  refusal: string | null;
}): Html => (
  <Page
    shell={shell}
    title="Sign in"
    lead="People sign in here with a passkey, or with a link that works once."
  >
    <div class="narrow">
      {refusal === null ? null : (
        <Notice tone="bad" title="That did not work">
          <p>{visible(refusal)}</p>
        </Notice>
      )}
      <section class="panel">
        <h2>I have a passkey</h2>
        <PasskeySignIn shell={shell} next={next} label="Use a passkey" />
        <PasskeyScript shell={shell} />
      </section>
      <section class="panel">
        <h2>I have a link</h2>
        <form method="post" action="/sign-in" class="form form-stack">
          <input type="hidden" name="next" value={next} />
          <Field id="link" label="Sign-in link" hint="Open it, or paste it here.">
            <input
              id="link"
              name="link"
              type="password"
              required
              autocomplete="off"
              aria-describedby="link-hint"
            />
          </Field>
          <button class="button button-primary" type="submit">
            Sign in
          </button>
        </form>
      </section>
      <section class="panel">
        <h2>I need one</h2>
        <p>
          Ask an administrator: inviting you, or making you a new link, gives them one to pass on.
          It works once, for a day.
        </p>
        <p>
          If you run this installation, <code>npm start</code> prints a link for the first
          administrator each time it starts.
        </p>
      </section>
    </div>
  </Page>
);

/** A link that can still be used. Nothing happens until the button is pressed. */
export const LinkPage = ({
  shell,
  token,
  next,
}: {
  shell: Shell;
  token: string;
  next: string;
}): Html => (
  <Page
    shell={shell}
    title="Sign in"
    lead="This link works once. Only go on if it was meant for you."
  >
    <div class="narrow">
      <section class="panel">
        <h2>Continue as its owner</h2>
        <form
          method="post"
          action={`/sign-in/${encodeURIComponent(token)}`}
          class="form form-stack"
        >
          <input type="hidden" name="next" value={next} />
          <button class="button button-primary button-wide" type="submit">
            Sign in
          </button>
        </form>
        <p class="note">
          You stay signed in on this device for twelve hours. What you decide is recorded under your
          name.
        </p>
      </section>
    </div>
  </Page>
);

/** A link that is used up or too old. */
export const DeadLinkPage = ({ shell, why }: { shell: Shell; why: string }): Html => (
  <Page shell={shell} title="This link no longer works" lead={why}>
    <div class="narrow">
      <section class="panel">
        <h2>What to do</h2>
        <ul>
          <li>
            If you used it on this device, you may still be <a href="/">signed in</a>.
          </li>
          <li>Otherwise ask an administrator for a new link.</li>
          <li>
            If you run this installation, start it again: <code>npm start</code> prints one.
          </li>
          <li>
            If somebody else may have used your link, tell an administrator now: they can deactivate
            you, which ends every session of yours.
          </li>
        </ul>
      </section>
    </div>
  </Page>
);
