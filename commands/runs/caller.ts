// Making one HTTP call with a credential that nobody else sees.

/** A call as it goes out, but for how we sign in. */
export interface CallToSend {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string | null;
  timeoutSeconds: number;
  answerBytesMax: number;
  /** Whether policy lets the address be a private one. */
  isPrivateAllowed: boolean;
  /** The setting with the authorities that vouch for the other side; null for the public ones. */
  authoritiesFrom: string | null;
  signIn: SignIn;
}

/** The header that says who calls. */
export interface SignIn {
  header: string;
  prefix: string;
  /** A setting of ours by its name, or a token that was made for this call. */
  secret: { from: string } | { token: string };
}

/** What the other side said, without the secret that it may have repeated. */
export interface Answered {
  status: number;
  headers: Record<string, string>;
  /** Text where it is UTF-8, else base64. */
  body: string;
  encoding: 'utf8' | 'base64';
  /** Bytes of the body that came. */
  bytes: number;
  /** The body is not all of it. */
  isCut: boolean;
  isMasked: boolean;
}

export interface Caller {
  /**
   * Connects, asks `beforeSend`, sends and reads. What `beforeSend` throws is thrown, with nothing sent. Throws a
   * TargetError where no answer came; once `beforeSend` has returned, nobody knows what that means over there.
   */
  send(call: CallToSend, beforeSend: () => Promise<void>): Promise<Answered>;
}
