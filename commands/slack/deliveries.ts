// What Slack delivers, read once for both ways it comes: by HTTP with a signature, or over a socket that we opened.
// Only what we asked for becomes a delivery; whatever else an app is sent is acknowledged and means nothing.
import { z } from 'zod';
import { digestOf, type Digest } from '../../domain/digest.ts';
import type { JsonValue } from '../../domain/json.ts';

/** Buttons of ours that ask for something. The rest are links, which Slack tells of as well. */
const BUTTONS = ['approve', 'narrow', 'deny', 'link'] as const;

interface From {
  user: string;
  /** Where this user can be answered, alone; null where Slack gave no such address. */
  responseUrl: string | null;
}

/** What was filled into a form, by field: one text, or one for each thing that was chosen. */
export type FormFields = Record<string, string[]>;

export type SlackDelivery =
  | (From & {
      kind: 'click';
      button: (typeof BUTTONS)[number];
      /** What the button claims to be about. Never believed without the message it is in. */
      value: string;
      /** The card under which the button was when it was pressed. */
      shown: string;
      channel: string;
      ts: string;
      triggerId: string;
    })
  | (From & { kind: 'denial'; dialog: string; reason: string; disposition: 'revise' | 'stop' })
  | (From & { kind: 'narrowing'; dialog: string; reason: string; fields: FormFields })
  | (From & { kind: 'command'; text: string })
  | (From & { kind: 'home' })
  /** A Slack user was deactivated. */
  | (From & { kind: 'left' });

export interface Delivered {
  delivery: SlackDelivery;
  /** Equal for what Slack repeats, whichever way it comes. */
  digest: Digest;
}

const digestFor = (kind: string, key: JsonValue): Digest =>
  digestOf('countersign/slack-delivery/v1', { kind, key });

const user = z.object({ id: z.string().min(1).max(50) });

const blockActions = z.object({
  type: z.literal('block_actions'),
  user,
  response_url: z.string().max(1000).nullish(),
  trigger_id: z.string().max(300).default(''),
  container: z.object({
    message_ts: z.string().max(50).default(''),
    channel_id: z.string().max(50).default(''),
  }),
  actions: z
    .array(
      z.object({
        action_id: z.string(),
        block_id: z.string().max(255).default(''),
        value: z.string().max(2000).default(''),
      }),
    )
    .min(1)
    .max(10),
});

/** The form of a denial: its name, and the names of its fields. */
export const DENIAL = {
  form: 'deny',
  reason: 'reason',
  disposition: 'disposition',
} as const;

/** The form of an approval of less; its other fields are those of the form on the web. */
export const NARROWING = { form: 'narrow', reason: 'reason' } as const;

const option = z.object({ value: z.string().max(150) });

/** One field, of whichever kind. */
const filled = z.object({
  value: z.string().max(3000).nullish(),
  selected_option: option.nullish(),
  selected_options: z.array(option).max(100).nullish(),
});

const fields = z.record(z.string().max(255), z.record(z.string().max(255), filled));

const viewSubmission = z.object({
  type: z.literal('view_submission'),
  user,
  view: z.object({
    id: z.string(),
    callback_id: z.enum([DENIAL.form, NARROWING.form]),
    private_metadata: z.string().max(3000),
    state: z.object({ values: fields }),
  }),
});

const interaction = z.discriminatedUnion('type', [blockActions, viewSubmission]);

/** Reads the payload of an interaction; null if it is none that we ask for. */
export function readInteraction(payload: JsonValue): Delivered | null {
  const parsed = interaction.safeParse(payload);
  if (!parsed.success) return null;
  const told = parsed.data;
  const delivery = told.type === 'view_submission' ? submissionOf(told) : clickOf(told);
  return delivery && { delivery, digest: digestFor('interaction', payload) };
}

/** Each field of our forms is a block of its own with one element, and the block has the name. */
function submissionOf({ user: by, view }: z.infer<typeof viewSubmission>): SlackDelivery {
  const texts = Object.fromEntries(
    Object.entries(view.state.values).map(([name, elements]) => [
      name,
      Object.values(elements).flatMap(({ value, selected_option: one, selected_options: some }) => [
        ...(value === undefined || value === null || value === '' ? [] : [value]),
        ...[...(one ? [one] : []), ...(some ?? [])].map((each) => each.value),
      ]),
    ]),
  );
  const common = { user: by.id, responseUrl: null, dialog: view.private_metadata };
  if (view.callback_id === NARROWING.form) {
    const { [NARROWING.reason]: reason, ...limits } = texts;
    return { ...common, kind: 'narrowing', reason: reason?.[0] ?? '', fields: limits };
  }
  return {
    ...common,
    kind: 'denial',
    reason: texts[DENIAL.reason]?.[0] ?? '',
    disposition: texts[DENIAL.disposition]?.[0] === 'revise' ? 'revise' : 'stop',
  };
}

function clickOf(told: z.infer<typeof blockActions>): SlackDelivery | null {
  const [action] = told.actions;
  const button = BUTTONS.find((each) => each === action?.action_id);
  if (!button) return null;
  return {
    kind: 'click',
    button,
    user: told.user.id,
    responseUrl: told.response_url ?? null,
    value: action?.value ?? '',
    shown: action?.block_id ?? '',
    channel: told.container.channel_id,
    ts: told.container.message_ts,
    triggerId: told.trigger_id,
  };
}

const command = z.object({
  user_id: z.string().min(1).max(50),
  text: z.string().max(4000).default(''),
  response_url: z.string().max(1000),
});

/** Reads a slash command; null if it lacks what every one has. */
export function readCommand(fields: JsonValue): Delivered | null {
  const parsed = command.safeParse(fields);
  if (!parsed.success) return null;
  const { user_id: who, text, response_url: responseUrl } = parsed.data;
  return {
    delivery: { kind: 'command', user: who, text, responseUrl },
    digest: digestFor('command', fields),
  };
}

const envelope = z.object({
  type: z.literal('event_callback'),
  event_id: z.string().min(1).max(100),
  event: z.union([
    z.object({
      type: z.literal('app_home_opened'),
      user: z.string().min(1).max(50),
      tab: z.string().default('home'),
    }),
    z.object({
      type: z.literal('user_change'),
      user: z.object({ id: z.string().min(1).max(50), deleted: z.boolean().default(false) }),
    }),
  ]),
});

/**
 * Reads an event. Messages are not among them, whoever wrote them and of whichever subtype: nothing that is said in
 * a channel decides anything here.
 */
export function readEvent(body: JsonValue): Delivered | null {
  const parsed = envelope.safeParse(body);
  if (!parsed.success) return null;
  const { event, event_id: id } = parsed.data;
  const digest = digestFor('event', id);
  if (event.type === 'user_change')
    return event.user.deleted
      ? { delivery: { kind: 'left', user: event.user.id, responseUrl: null }, digest }
      : null;
  return event.tab === 'home'
    ? { delivery: { kind: 'home', user: event.user, responseUrl: null }, digest }
    : null;
}
