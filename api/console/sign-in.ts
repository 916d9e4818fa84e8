// Signing in and out on the web. The rules are those of POST /v1/sessions.
import { deleteCookie } from 'hono/cookie';
import { isLinkUsable, signIn, signOut } from '../../commands/people/people.ts';
import { transact } from '../../commands/unit.ts';
import { Refusal } from '../../domain/refusal.ts';
import { DeadLinkPage, LinkPage, SignInPage } from '../../web/sign-in.tsx';
import { SESSION_COOKIE } from '../auth.ts';
import { sessionCookie } from '../people.ts';
import { STATUS } from '../problem.ts';
import {
  field,
  localPath,
  page,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';

const ask: ConsoleRoute = {
  method: 'get',
  path: '/sign-in',
  who: 'anyone',
  handle: ({ shell, query, person }) => {
    const next = localPath(query.get('next'));
    return Promise.resolve(
      person ? redirect(next) : page(SignInPage({ shell, next, refusal: null })),
    );
  },
};

const open: ConsoleRoute = {
  method: 'get',
  path: '/sign-in/{token}',
  who: 'anyone',
  handle: async ({ shell, params, query }, deps) => {
    const token = params['token'] ?? '';
    if (!(await isLinkUsable(deps.db.query, token, shell.now)))
      return page(DeadLinkPage({ shell, why: DEAD }), 410);
    return page(LinkPage({ shell, token, next: localPath(query.get('next')) }));
  },
};

const DEAD = 'It was used already, it is too old, or a newer one replaced it.';

const use: ConsoleRoute = {
  method: 'post',
  path: '/sign-in/{token}',
  sameAs: 'post /v1/sessions',
  who: 'anyone',
  handle: async (visit, deps) => {
    const signedIn = await trySignIn(visit, deps, visit.params['token'] ?? '');
    if (!(signedIn instanceof Refusal)) return signedIn;
    return page(DeadLinkPage({ shell: visit.shell, why: signedIn.message }), 410);
  },
};

const paste: ConsoleRoute = {
  method: 'post',
  path: '/sign-in',
  sameAs: 'post /v1/sessions',
  who: 'anyone',
  handle: async (visit, deps) => {
    // A whole link or only its last part: people paste either.
    const token = field(visit, 'link').split(/[?#]/)[0]?.split('/').at(-1) ?? '';
    const signedIn = await trySignIn(visit, deps, token);
    if (!(signedIn instanceof Refusal)) return signedIn;
    const next = localPath(visit.form.get('next'));
    const { code, message } = signedIn;
    return page(SignInPage({ shell: visit.shell, next, refusal: message }), STATUS[code]);
  },
};

async function trySignIn(
  visit: Visit,
  deps: ConsoleDeps,
  token: string,
): Promise<Response | Refusal> {
  try {
    const opened = await transact(deps, visit.call, (unit) => signIn(unit, token));
    return redirect(localPath(visit.form.get('next')), {
      'set-cookie': sessionCookie(deps, opened.token, opened.session.expiresAt),
    });
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

const leave: ConsoleRoute = {
  method: 'post',
  path: '/sign-out',
  sameAs: 'delete /v1/session',
  who: 'person',
  handle: async ({ context, call, person }, deps) => {
    const session = person?.session;
    if (session) await transact(deps, call, (unit) => signOut(unit, session));
    deleteCookie(context, SESSION_COOKIE);
    return context.redirect('/sign-in', 303);
  },
};

export const signInPages = [ask, open, use, paste, leave];
