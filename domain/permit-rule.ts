// What a route says of approvals that somebody else's enforcement point carries out.

/** The part of a route's rule that is about such permits; it says nothing of what we carry out ourselves. */
export interface PermitRule {
  /** How often an approval may be used; once where it says nothing. */
  uses?: number | undefined;
  /** How soon it has to be said what came of a use; `RECEIPT_SECONDS` where it says nothing. */
  receipt_within_seconds?: number | undefined;
}

/** How soon a receipt is due where no route says. */
const RECEIPT_SECONDS = 300;

type Ruled = readonly { rule: PermitRule }[];

/** How often an approval under all of these routes may be used. */
export const usesOf = (routes: Ruled): number =>
  Math.min(...routes.map(({ rule }) => rule.uses ?? 1));

/** How soon after a use its receipt is due under a rule. */
export const receiptWithin = (rule: PermitRule): number =>
  rule.receipt_within_seconds ?? RECEIPT_SECONDS;

/** How soon it is due under all of these routes. */
export const receiptSeconds = (routes: Ruled): number =>
  Math.min(...routes.map(({ rule }) => receiptWithin(rule)));

/** What of it is said: only that is in a rule and its digest, so that rules from before it keep theirs. */
export const permitFacts = (rule: PermitRule): { [K in keyof PermitRule]: number } => ({
  ...(rule.uses !== undefined && { uses: rule.uses }),
  ...(rule.receipt_within_seconds !== undefined && {
    receipt_within_seconds: rule.receipt_within_seconds,
  }),
});
