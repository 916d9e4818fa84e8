// What every page needs to know about its reader and where it is.

/** The person who is signed in, as the frame around a page shows them. */
interface Reader {
  id: string;
  name: string;
  roles: readonly string[];
}

/** Addresses of the static files, each with the digest of its content. */
export interface Assets {
  style: string;
  script: string;
  /** Only for pages on which an authenticator is asked. */
  passkey: string;
  icon: string;
}

/** The frame of a page: who reads it, when, and what forms send back. */
export interface Shell {
  reader: Reader | null;
  /** Goes into every form; it follows from the session cookie. */
  csrf: string;
  /** The path of the page, which marks its place in the navigation. */
  path: string;
  /** Requests that wait for this reader. */
  waiting: number;
  /** The database's time, against which every page measures. */
  now: string;
  assets: Assets;
  version: string;
}
