// Works off what Slack delivered, after it was acknowledged. A vote and the mark that it was taken are one
// transaction; whatever is only said to somebody may be said twice.
import { decide } from '../../commands/approvals/decide.ts';
import { termsOf } from '../../commands/approvals/narrow.ts';
import { cardOf, findRequest } from '../../commands/approvals/requests.ts';
import { readSlack } from '../../commands/integrations.ts';
import { faultFields, type Log } from '../../commands/log-line.ts';
import type { Principal } from '../../commands/principal.ts';
import type { SlackDelivery } from '../../commands/slack/deliveries.ts';
import { findDialog, openDialog } from '../../commands/slack/dialogs.ts';
import { limitsSentOff } from '../../commands/slack/forms.ts';
import { deliveriesDue, finishDelivery, takeDelivery } from '../../commands/slack/inbox.ts';
import { unlinkDeparted } from '../../commands/slack/links.ts';
import { cardClicked, type ClickedCard } from '../../commands/slack/messages.ts';
import { databaseTime, transact, type Call } from '../../commands/unit.ts';
import type { Digest } from '../../domain/digest.ts';
import { offerOf } from '../../domain/narrow-form.ts';
import type { Limits } from '../../domain/narrowing.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { NoticeDeps } from '../notices.ts';
import { refresh } from './cards.ts';
import { callSlack, isFinal, postEphemeral, replyAt, slackError } from './client.ts';
import { answerCommand, offerTo, showHome } from './counter.ts';
import { denialForm, narrowForm } from './modal.ts';
import { wordsFace } from './views.ts';
import { whoIs, type Desk } from './who.ts';

type Click = Extract<SlackDelivery, { kind: 'click' }>;
type Form = Extract<SlackDelivery, { kind: 'denial' | 'narrowing' }>;

const asDesk = (): Call => ({ principal: { kind: 'workflow', id: 'slack' }, traceId: null });

/** Works off one delivery, unless that is done. */
async function workOff(deps: NoticeDeps, digest: Digest): Promise<void> {
  const delivery = await transact(deps, asDesk(), (unit) => takeDelivery(unit, digest));
  const slack = delivery && (await readSlack(deps.db.query, deps.vault));
  if (!slack) return;
  deps.crashPoint('slack:taken');
  await handle({ deps, line: { egress: deps.egress, slack } }, delivery, digest);
  await transact(deps, asDesk(), (unit) => finishDelivery(unit, digest));
}

async function handle(desk: Desk, delivery: SlackDelivery, digest: Digest): Promise<void> {
  switch (delivery.kind) {
    case 'click':
      return delivery.button === 'link'
        ? offerTo(desk, delivery)
        : handleClick(desk, delivery, digest);
    case 'denial':
    case 'narrowing':
      return handleForm(desk, delivery, digest);
    case 'command':
      return answerCommand(desk, delivery);
    case 'home':
      return showHome(desk, delivery.user);
    case 'left':
      return transact(desk.deps, asDesk(), (unit) => unlinkDeparted(unit, delivery.user));
  }
}

async function handleClick(desk: Desk, click: Click, digest: Digest): Promise<void> {
  const { deps, line } = desk;
  const principal = await whoIs(deps.db.query, line, click.user);
  const clicked = await cardClicked(deps.db.query, click.channel, click.ts);
  // Whoever is nobody here is refused as at every other door, and is not asked for reasons first.
  if (
    click.button !== 'approve' &&
    principal.kind === 'person' &&
    isAbout(clicked, click.value, click.shown)
  )
    return openForm(desk, click, clicked);
  const refusal = await vote(desk, digest, principal, {
    request: click.value,
    decision: click.button === 'deny' ? 'deny' : 'approve',
    // The card of the message that was clicked, whatever the button claims to be about.
    shown: isAbout(clicked, click.value, click.shown) ? clicked.shown : '',
    ...{ reason: null, disposition: 'stop', narrow: null },
  });
  if (refusal) await tell(desk, click, refusal, clicked);
}

/** Whether a message is a card of ours that shows this request in this way, and offers to decide on it. */
const isAbout = (
  clicked: ClickedCard | null,
  request: string,
  shown: string,
): clicked is ClickedCard =>
  clicked?.decidable === true && clicked.request === request && clicked.shown === shown;

/** Opens the form before anything slow: what Slack gave to open it with is good for three seconds. */
async function openForm(desk: Desk, click: Click, clicked: ClickedCard): Promise<void> {
  const { deps, line } = desk;
  const row = await findRequest(deps.db.query, clicked.request);
  if (!row) return;
  const isDenial = click.button === 'deny';
  const token = await transact(deps, asDesk(), (unit) =>
    openDialog(unit, {
      slackUser: click.user,
      request: clicked.request,
      shown: clicked.shown,
      channel: click.channel,
      ts: click.ts,
    }),
  );
  try {
    const view = isDenial
      ? denialForm(cardOf(row), token)
      : narrowForm(cardOf(row), offerOf(termsOf(row), row.narrowable), token);
    await callSlack(line, 'views.open', { trigger_id: click.triggerId, view });
  } catch (error) {
    if (!slackError(error)) throw error;
    const said = `Nothing changed: the form came too late to be shown. Press ${isDenial ? 'Deny' : 'Approve less'} again.`;
    if (click.responseUrl !== null) await replyAt(line, click.responseUrl, wordsFace(said));
  }
}

async function handleForm(desk: Desk, form: Form, digest: Digest): Promise<void> {
  const { deps, line } = desk;
  const dialog = await findDialog(deps.db.query, form.dialog, form.user);
  const row = dialog && (await findRequest(deps.db.query, dialog.request));
  if (!row) return;
  // The row says what the form was about; and the message has to be that card still.
  const clicked = await cardClicked(deps.db.query, dialog.channel, dialog.ts);
  const isSame = isAbout(clicked, dialog.request, dialog.shown);
  const refusal = await vote(desk, digest, await whoIs(deps.db.query, line, form.user), {
    request: dialog.request,
    shown: isSame ? dialog.shown : '',
    reason: form.reason.trim() === '' ? null : form.reason,
    ...(form.kind === 'denial'
      ? { decision: 'deny', disposition: form.disposition, narrow: null }
      : {
          decision: 'approve',
          disposition: 'stop',
          // Read from the card as it is now; were that another than the one shown, the vote is refused.
          narrow: limitsSentOff(row, form.fields),
        }),
  });
  if (!refusal) return;
  await postEphemeral(line, dialog.channel, form.user, `Nothing changed: ${refusal.message}`);
  await refresh(deps, asDesk(), dialog.request);
}

interface SlackBallot {
  request: string;
  decision: 'approve' | 'deny';
  shown: string;
  reason: string | null;
  disposition: 'revise' | 'stop';
  narrow: Limits | null;
}

/** A vote, and in the same transaction the mark that this delivery was worked off. */
async function vote(
  { deps }: Desk,
  digest: Digest,
  principal: Principal,
  ballot: SlackBallot,
): Promise<Refusal | null> {
  try {
    return await transact(deps, { principal, traceId: null }, async (unit) => {
      if (!(await finishDelivery(unit, digest))) return null;
      const outcome = await decide(unit, deps, { ...ballot, channel: 'slack', passkey: null });
      return outcome instanceof Refusal ? outcome : null;
    });
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** Says to the one who clicked why nothing changed, and sees to it that the card says what is true. */
async function tell(
  { deps, line }: Desk,
  click: Click,
  refusal: Refusal,
  clicked: ClickedCard | null,
): Promise<void> {
  // A card whose posting we do not remember cannot be kept true: its buttons go, and it says where to look.
  if (!clicked && click.responseUrl !== null) {
    const where = `This card is out of date. Open the request: ${deps.publicUrl}/requests`;
    await replyAt(line, click.responseUrl, wordsFace(where), true);
  }
  const said =
    clicked?.decidable === false
      ? 'this card offers no decision. Open it and decide on the web.'
      : refusal.message;
  if (click.responseUrl !== null)
    await replyAt(line, click.responseUrl, wordsFace(`Nothing changed: ${said}`));
  if (clicked) await refresh(deps, asDesk(), clicked.request);
}

export interface SlackDesk {
  /** Works off a delivery that was just kept. */
  work(digest: Digest): void;
  /** Works off what others left; says whether there was anything. */
  sweep(): Promise<boolean>;
  /** Waits for what is being worked off. */
  close(): Promise<void>;
}

/** Deliveries worked off side by side: each takes a connection now and then, and may wait for Slack. */
const AT_ONCE = 6;

export function openSlackDesk(deps: NoticeDeps, log: Log): SlackDesk {
  const waiting: Digest[] = [];
  const working = new Set<Promise<void>>();
  const next = (): void => {
    while (working.size < AT_ONCE) {
      const digest = waiting.shift();
      if (digest === undefined) return;
      const work: Promise<void> = workOff(deps, digest)
        .catch(async (error: unknown) => {
          log('slack_delivery_failed', faultFields(error));
          // What Slack will never take is not tried again; the rest is, by whoever sweeps.
          if (isFinal(error))
            await transact(deps, asDesk(), (unit) => finishDelivery(unit, digest));
        })
        .catch((error: unknown) => log('slack_delivery_failed', faultFields(error)))
        .finally(() => {
          working.delete(work);
          next();
        });
      working.add(work);
    }
  };
  return {
    work: (digest) => {
      waiting.push(digest);
      next();
    },
    sweep: async () => {
      const due = await deliveriesDue(deps.db.query, await databaseTime(deps.db.query));
      for (const digest of due) await workOff(deps, digest);
      return due.length > 0;
    },
    close: async () => {
      while (working.size > 0) await Promise.all(working);
    },
  };
}
