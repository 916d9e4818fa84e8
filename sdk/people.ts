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

/** Who votes for a person who is away; both count as one human. */
export interface Absence {
  id: string;
  person: string;
  stand_in: string;
  starts_at: string;
  ends_at: string;
  /** When it was taken back; null where it was not. */
  withdrawn_at: string | null;
}

/** From now on where it does not say when it begins. */
export interface Away {
  standIn: string;
  startsAt?: string | undefined;
  endsAt: string;
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

  /** Says who votes in the stead of somebody who is away. */
  away: (id: string, { standIn, startsAt, endsAt }: Away, options?: CallOptions) =>
    transport.post<Absence>(path`/v1/people/${id}/absences`, {
      ...options,
      body: { stand_in: standIn, starts_at: startsAt, ends_at: endsAt },
    }),

  /** Who votes or voted in the stead of a person, the latest first. */
  absences: (id: string, options?: CallOptions) =>
    transport.get<{ data: Absence[] }>(path`/v1/people/${id}/absences`, options),

  /** Takes an absence back; votes under it on what is not decided yet count no more. */
  back: (id: string, absence: string, options?: CallOptions) =>
    transport.delete<Absence>(path`/v1/people/${id}/absences/${absence}`, options),
});
