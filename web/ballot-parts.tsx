// What the forms that decide have in common.
import type { Html } from './parts.tsx';
import type { RequestView } from './request-data.ts';

/** Whether a decision on it takes a signature. */
export const isSigned = ({ standing }: RequestView): boolean =>
  standing.kind === 'may' && standing.signs === true;

/** Where the script asks what its reader would sign. */
export const signAt = (view: RequestView): string | null =>
  isSigned(view) ? `/requests/${view.id}/statement` : null;

/** What every form that decides carries along. */
export const Hidden = ({ view, decision }: { view: RequestView; decision: string }): Html => (
  <>
    <input type="hidden" name="shown" value={view.shown} />
    <input type="hidden" name="decision" value={decision} />
    {isSigned(view) ? <input type="hidden" name="passkey" value="" /> : null}
  </>
);
