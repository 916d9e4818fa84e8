// What Slack takes and refuses in messages and views (Block Kit reference: blocks, elements, composition objects).
import type { JsonObject, JsonValue } from '../../domain/json.ts';

export const asObject = (value: JsonValue | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};

export const textOf = (value: JsonValue | undefined): string =>
  typeof value === 'string' ? value : '';

export const asBlocks = (value: JsonValue | undefined): JsonObject[] =>
  Array.isArray(value) ? value.map(asObject) : [];

/** Slack refuses messages whose blocks come to about thirteen thousand characters. */
const MESSAGE_TEXT_MAX = 13_200;

/** Why Slack would not take these blocks in a message, in its word; null if it would. */
export function messageError(value: JsonValue | undefined): string | null {
  if (!Array.isArray(value)) return 'invalid_blocks_format';
  const blocks = asBlocks(value);
  if (blocks.length === 0 || blocks.length > 50) return 'invalid_blocks';
  if (textLength(blocks) > MESSAGE_TEXT_MAX) return 'msg_blocks_too_long';
  return areBlocks(blocks, MESSAGE_BLOCKS) ? null : 'invalid_blocks';
}

/** Why Slack would not take a view, in its word; null if it would. */
export function viewError(view: JsonObject, type: 'modal' | 'home'): string | null {
  const { title, submit, close, private_metadata: metadata, callback_id: callback } = view;
  const blocks = asBlocks(view['blocks']);
  if (view['type'] !== type) return 'invalid_arguments';
  if (blocks.length === 0 || blocks.length > 100) return 'invalid_arguments';
  if (textOf(metadata).length > 3000 || textOf(callback).length > 255) return 'invalid_arguments';
  if (type === 'modal') {
    const hasInput = blocks.some((block) => block['type'] === 'input');
    if (!isText(title, 24, PLAIN)) return 'invalid_arguments';
    if (submit !== undefined && !isText(submit, 24, PLAIN)) return 'invalid_arguments';
    if (close !== undefined && !isText(close, 24, PLAIN)) return 'invalid_arguments';
    if (hasInput && submit === undefined) return 'invalid_arguments';
  } else if (title !== undefined || submit !== undefined) {
    return 'invalid_arguments';
  }
  return areBlocks(blocks, [...MESSAGE_BLOCKS, 'input']) ? null : 'invalid_arguments';
}

const PLAIN = ['plain_text'];
const MESSAGE_BLOCKS = ['header', 'section', 'context', 'actions', 'divider'];

function areBlocks(blocks: readonly JsonObject[], types: readonly string[]): boolean {
  const ids = blocks.flatMap((block) => (block['block_id'] === undefined ? [] : block['block_id']));
  return (
    new Set(ids).size === ids.length &&
    blocks.every((block) => types.includes(textOf(block['type'])) && isBlock(block))
  );
}

const textLength = (value: JsonValue): number => {
  if (Array.isArray(value)) return value.reduce<number>((sum, each) => sum + textLength(each), 0);
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce(
    (sum, [name, each]) =>
      sum + (name === 'text' && typeof each === 'string' ? each.length : textLength(each)),
    0,
  );
};

function isBlock(block: JsonObject): boolean {
  const id = block['block_id'];
  if (id !== undefined && (typeof id !== 'string' || id.length > 255)) return false;
  switch (block['type']) {
    case 'header':
      return isText(block['text'], 150, PLAIN);
    case 'section':
      return isSection(block);
    case 'context':
      return (
        within(block['elements'], 10) &&
        asBlocks(block['elements']).every((each) => isText(each, 2000))
      );
    case 'actions':
      return within(block['elements'], 25) && asBlocks(block['elements']).every(isButton);
    case 'input':
      return isInput(block);
    case 'divider':
      return true;
    default:
      return false;
  }
}

const isSection = ({ text, fields }: JsonObject): boolean => {
  if (text === undefined && fields === undefined) return false;
  if (text !== undefined && !isText(text, 3000)) return false;
  return (
    fields === undefined ||
    (within(fields, 10) && asBlocks(fields).every((each) => isText(each, 2000)))
  );
};

function isInput({ label, hint, element }: JsonObject): boolean {
  const asked = asObject(element);
  const action = textOf(asked['action_id']);
  if (!isText(label, 2000, PLAIN) || (hint !== undefined && !isText(hint, 2000, PLAIN)))
    return false;
  if (action.length === 0 || action.length > 255) return false;
  switch (asked['type']) {
    case 'plain_text_input':
      return isTextInput(asked);
    case 'number_input':
      return isNumberInput(asked);
    case 'radio_buttons':
      return areOptions(asked['options'], 10);
    case 'static_select':
      return areOptions(asked['options'], 100) && areAmong([asked['initial_option']], asked);
    case 'multi_static_select':
      return (
        areOptions(asked['options'], 100) && areAmong(asBlocks(asked['initial_options']), asked)
      );
    default:
      return false;
  }
}

const isTextInput = ({ max_length: most, initial_value: initial }: JsonObject): boolean =>
  (most === undefined || (typeof most === 'number' && most >= 1 && most <= 3000)) &&
  (initial === undefined || textOf(initial).length <= (typeof most === 'number' ? most : 3000));

/** Numbers are texts, and the one that is there at first is within the bounds. */
function isNumberInput(asked: JsonObject): boolean {
  const { min_value: least, max_value: most, initial_value: initial } = asked;
  const texts = [least, most, initial].filter((each) => each !== undefined);
  return (
    typeof asked['is_decimal_allowed'] === 'boolean' &&
    texts.every((each) => typeof each === 'string' && /^-?\d+$/.test(each)) &&
    (initial === undefined ||
      (Number(initial) >= Number(least ?? initial) && Number(initial) <= Number(most ?? initial)))
  );
}

const areOptions = (value: JsonValue | undefined, most: number): boolean => {
  const values = asBlocks(value).map((each) => textOf(each['value']));
  return (
    within(value, most) &&
    new Set(values).size === values.length &&
    asBlocks(value).every(
      (each) => isText(each['text'], 75, PLAIN) && within150(textOf(each['value'])),
    )
  );
};

const within150 = (value: string): boolean => value.length >= 1 && value.length <= 150;

/** What is chosen at first is among what can be chosen, to the letter. */
const areAmong = (chosen: readonly (JsonValue | undefined)[], { options }: JsonObject): boolean => {
  const known = asBlocks(options).map((each) => JSON.stringify(each));
  return chosen.every((each) => each === undefined || known.includes(JSON.stringify(each)));
};

const within = (value: JsonValue | undefined, most: number): boolean =>
  Array.isArray(value) && value.length > 0 && value.length <= most;

/** A text object; in plain text there is no `verbatim`, in mrkdwn no `emoji`. */
function isText(
  value: JsonValue | undefined,
  most: number,
  types = ['plain_text', 'mrkdwn'],
): boolean {
  const { type, text, emoji, verbatim } = asObject(value);
  return (
    typeof text === 'string' &&
    text.length > 0 &&
    text.length <= most &&
    types.includes(textOf(type)) &&
    (emoji === undefined || type === 'plain_text') &&
    (verbatim === undefined || type === 'mrkdwn')
  );
}

function isButton(element: JsonObject): boolean {
  const { type, text, value, url, action_id: action, style } = element;
  return (
    type === 'button' &&
    isText(text, 75, PLAIN) &&
    typeof action === 'string' &&
    action.length <= 255 &&
    (value === undefined || (typeof value === 'string' && value.length <= 2000)) &&
    (url === undefined || (typeof url === 'string' && url.length <= 3000)) &&
    textOf(element['accessibility_label']).length <= 75 &&
    (style === undefined || style === 'primary' || style === 'danger')
  );
}
