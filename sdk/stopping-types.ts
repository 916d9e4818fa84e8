// What stopping answers: orders to revoke, and the kill switch.

/** An order to revoke much at once, and how far it has come. */
export interface Revocation {
  id: string;
  by: RevocationScope;
  of: string | null;
  because: string;
  reason: string;
  ordered_by: { type: string; id: string };
  created_at: string;
  /** Alive when it was ordered. */
  credentials: number;
  alive: number;
  failing: number;
  oldest_at: string | null;
  not_seen_gone: number;
  done_at: string | null;
}

/** What an order to revoke can name. */
export type RevocationScope =
  | 'credential'
  | 'task'
  | 'agent'
  | 'chain'
  | 'team'
  | 'role'
  | 'issuer'
  | 'target'
  | 'everything';

/** Everything is stopped, by the kill switch. */
export interface Stop {
  id: string;
  revocation: string;
  reason: string;
  ordered_by: { type: string; id: string };
  created_at: string;
  lifted_at: string | null;
}

/** What the kill switch did. */
export interface Killed {
  stop: string | null;
  agents: number;
  tasks: number;
  revocation: Revocation;
}
