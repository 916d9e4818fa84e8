// What an auditor counts: everything that can act by itself, whoever told us of it.

/** An agent, an identity that was found in a target, or a secret that was put in to be lent. */
export interface PopulationMember {
  source: 'registered' | 'discovered' | 'stored';
  id: string;
  name: string;
  kind: string;
  state: string;
  /** Where it was found; null for an agent, which is ours. */
  target: string | null;
  owner: string | null;
  owner_name: string | null;
  /** Whether somebody said who owns it, or it was guessed. */
  owner_by: 'registration' | 'guess' | null;
  /** The agent that it was adopted as. */
  agent: string | null;
  /** With a space between them. */
  risks: string;
  around: string;
  keys: number;
  credentials: number;
  expires_at: string | null;
  last_used_at: string | null;
  since: string;
}
