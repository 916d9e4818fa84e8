// How much is at stake, as a rule of the policy says (`@risk`).

/** Risks that may be decided on wherever the route allows; every other word asks for a closer look. */
const ORDINARY = ['low', 'medium'];

/** Whether what is at stake asks for more than a button in a chat. A word we do not know does. */
export const isRisky = (risk: string | null): boolean =>
  risk !== null && !ORDINARY.includes(risk.toLowerCase());
