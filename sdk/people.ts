// People: who can be asked, and who answers for an agent.
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { InvitedPerson, Page, Person, PersonRole } from './types.ts';

/** A person to invite. */
export interface Invitation {
  name: string;
  email?: string | undefined;
  roles: PersonRole[];
  groups: string[];
  slackUserId?: string | undefined;
}

/** What to change about a person; what is not named stays as it is. */
export interface PersonChange {
  roles?: PersonRole[] | undefined;
  groups?: string[] | undefined;
  /** Null takes the Slack user away. */
  slackUserId?: string | null | undefined;
  state?: Person['state'] | undefined;
}

/** A key that a person holds, with which they sign in and sign decisions. */
export interface Passkey {
  id: string;
  name: string;
  /** Whether it may be copied to other devices of its person. */
  synced: boolean;
  created_at: string;
  last_used_at: string | null;
}

export const peopleCalls = (transport: Transport) => ({
  /** The answer carries a link that lets the person in once: hand it to them and to nobody else. */
  invite: ({ name, email, roles, groups, slackUserId }: Invitation, options?: CallOptions) =>
    transport.post<InvitedPerson>('/v1/people', {
      ...options,
      body: { name, email, roles, groups, slack_user_id: slackUserId },
    }),

  list: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<Person>>('/v1/people', { query: { limit, cursor } }),

  change: (
    id: string,
    { roles, groups, slackUserId, state }: PersonChange,
    options?: CallOptions,
  ) =>
    transport.patch<Person>(path`/v1/people/${id}`, {
      ...options,
      body: { roles, groups, slack_user_id: slackUserId, state },
    }),

  /** A new sign-in link; earlier unused ones stop working. */
  link: (id: string, options?: CallOptions) =>
    transport.post<InvitedPerson>(path`/v1/people/${id}/links`, { ...options, body: {} }),

  /** The passkeys of a person. They add them themselves, on the page of their account. */
  passkeys: (id: string) => transport.get<Page<Passkey>>(path`/v1/people/${id}/passkeys`),

  /** Removes a passkey that its person lost; with the last one gone, a new link lets them add another. */
  removePasskey: async (id: string, passkey: string, options?: CallOptions): Promise<void> => {
    await transport.delete(path`/v1/people/${id}/passkeys/${passkey}`, options);
  },
});
