// What the server says about policies.

/** A policy that became the active one. */
export interface PolicyActivation {
  version: string;
  replaces: string | null;
  activated_at: string;
  by: { type: string; id: string };
  request: string | null;
  active: boolean;
}
