// What Slack delivers to an app, in the shapes in which it does: clicks, forms, commands, events.
import { randomBytes } from 'node:crypto';
import type { JsonObject } from '../../domain/json.ts';
import { asBlocks, asObject, textOf } from './slack-blocks.ts';

export const TEAM = 'T0TEAM';
const APP = 'A0APP';

export interface ClickedMessage {
  channel: string;
  ts: string;
  text: string;
  blocks: JsonObject[];
}

export interface Clicked {
  actionId: string;
  user: string;
  responseUrl: string;
  triggerId: string;
}

/** A click on a button of a message. */
export function clickPayload(message: ClickedMessage, clicked: Clicked): JsonObject {
  const { actionId, user, responseUrl, triggerId } = clicked;
  const block = message.blocks.find(({ type, elements }) => {
    const ids = asBlocks(elements).map((element) => element['action_id']);
    return type === 'actions' && ids.includes(actionId);
  });
  const button = asBlocks(block?.['elements']).find((each) => each['action_id'] === actionId);
  if (!button) throw new Error(`the message has no button ${actionId}`);
  return {
    type: 'block_actions',
    ...who(user),
    container: { type: 'message', message_ts: message.ts, channel_id: message.channel },
    channel: { id: message.channel },
    message: { ts: message.ts, text: message.text, blocks: message.blocks },
    trigger_id: triggerId,
    response_url: responseUrl,
    actions: [
      {
        action_id: actionId,
        block_id: block?.['block_id'] ?? '',
        type: 'button',
        value: button['value'] ?? '',
        action_ts: String(Date.now() / 1000),
      },
    ],
  };
}

/** A click on a button of a home tab: no message, and no address to answer at. */
export const homeClickPayload = (
  actionId: string,
  user: string,
  triggerId: string,
): JsonObject => ({
  type: 'block_actions',
  ...who(user),
  container: { type: 'view', view_id: 'V0HOME' },
  trigger_id: triggerId,
  actions: [{ action_id: actionId, block_id: 'home', type: 'button', value: actionId }],
});

/** A form that was sent off. */
export const submissionPayload = (
  view: JsonObject,
  user: string,
  values: Record<string, JsonObject>,
): JsonObject => ({
  type: 'view_submission',
  ...who(user),
  trigger_id: randomBytes(8).toString('hex'),
  view: { ...view, id: `V${randomBytes(4).toString('hex')}`, state: { values } },
});

/** What a form holds when it is opened, and what its user made of some of its fields. */
export function filledForm(
  view: JsonObject,
  changes: Record<string, string | string[]>,
): Record<string, JsonObject> {
  const inputs = asBlocks(view['blocks']).filter(({ type }) => type === 'input');
  const unknown = Object.keys(changes).find(
    (name) => !inputs.some(({ block_id: block }) => block === name),
  );
  if (unknown !== undefined) throw new Error(`the form has no field ${unknown}`);
  return Object.fromEntries(
    inputs.map(({ block_id: block, element }) => {
      const name = textOf(block);
      const { action_id: action, ...asked } = asObject(element);
      return [name, { [textOf(action)]: stateOf(asked, changes[name]) }];
    }),
  );
}

function stateOf(asked: JsonObject, change: string | string[] | undefined): JsonObject {
  const type = textOf(asked['type']);
  const among = (values: readonly string[]): JsonObject[] =>
    asBlocks(asked['options']).filter(({ value }) => values.includes(textOf(value)));
  if (type === 'multi_static_select') {
    const chosen =
      change === undefined ? asBlocks(asked['initial_options']) : among([change].flat());
    return { type, selected_options: chosen };
  }
  if (type === 'static_select' || type === 'radio_buttons') {
    const chosen = change === undefined ? asked['initial_option'] : among([change].flat())[0];
    return { type, selected_option: chosen ?? null };
  }
  const value = change === undefined ? textOf(asked['initial_value']) : [change].flat().join('');
  return { type, value: value === '' ? null : value };
}

const who = (user: string): JsonObject => ({
  team: { id: TEAM },
  api_app_id: APP,
  user: { id: user, username: user.toLowerCase(), team_id: TEAM },
});

/** A slash command. */
export const commandFields = (
  text: string,
  user: string,
  responseUrl: string,
): Record<string, string> => ({
  team_id: TEAM,
  api_app_id: APP,
  channel_id: 'C0ANY',
  user_id: user,
  user_name: user.toLowerCase(),
  command: '/countersign',
  text,
  response_url: responseUrl,
  trigger_id: randomBytes(8).toString('hex'),
});

/** An event of the Events API, in its envelope. */
export const eventPayload = (event: JsonObject, id: string): JsonObject => ({
  type: 'event_callback',
  team_id: TEAM,
  api_app_id: APP,
  event_id: id,
  event_time: Math.floor(Date.now() / 1000),
  event,
});

export const asForm = (fields: Record<string, string>): string =>
  new URLSearchParams(fields).toString();
