// The forms in which somebody says why they deny, or what they approve less of. They carry a name of ours and nothing that
// decides anything.
import { DENIAL, NARROWING } from '../../commands/slack/deliveries.ts';
import { levelChoice, NO_LEVEL, someBlock } from '../../commands/slack/forms.ts';
import { visible, type Card } from '../../domain/card.ts';
import type { JsonObject } from '../../domain/json.ts';
import { levelField, type NarrowOffer, type OfferedOption } from '../../domain/narrow-form.ts';
import { plainText } from './client.ts';

/** What a reason may have, as everywhere. */
const REASON_MAX = 2000;
const TITLE_MAX = 2900;

/** The form of a denial of this card. */
export function denialForm(card: Card, token: string): JsonObject {
  const stop = option('stop', 'Stop: it should not try this again');
  return {
    type: 'modal',
    callback_id: DENIAL.form,
    private_metadata: token,
    title: plainText('Deny'),
    submit: plainText('Deny'),
    close: plainText('Back'),
    blocks: [
      { type: 'section', text: plainText(card.title.slice(0, TITLE_MAX)) },
      {
        type: 'input',
        block_id: DENIAL.reason,
        optional: true,
        label: plainText('Why'),
        hint: plainText('Whoever asked reads this. Do not put secrets here.'),
        element: {
          type: 'plain_text_input',
          action_id: DENIAL.reason,
          multiline: true,
          max_length: REASON_MAX,
        },
      },
      {
        type: 'input',
        block_id: DENIAL.disposition,
        label: plainText('And then'),
        element: {
          type: 'radio_buttons',
          action_id: DENIAL.disposition,
          initial_option: stop,
          options: [stop, option('revise', 'Revise: it may ask again, in another way')],
        },
      },
    ],
  };
}

const option = (value: string, label: string): JsonObject => ({ text: plainText(label), value });

/** Slack's own limits for what can be chosen, and for a view (Block Kit reference). */
const OPTION_TEXT_MAX = 75;
const OPTIONS_MAX = 100;
const BLOCKS_MAX = 100;
const LABEL_MAX = 2000;

/** Whether a form of Slack can offer all of this: a name that was cut could be taken for another. */
export function fitsForm(offer: NarrowOffer): boolean {
  return (
    narrowBlocks(offer).length + 2 <= BLOCKS_MAX &&
    offer.options.every(({ name, some, levels }) => {
      const choices = [...(some ?? []), ...levels.flatMap(([, upTo]) => upTo)];
      return (
        choices.every((each) => visible(each).length <= OPTION_TEXT_MAX) &&
        (some ?? []).length <= OPTIONS_MAX &&
        levels.every(
          ([key, upTo]) => upTo.length < OPTIONS_MAX && ofLabel(name, key).length <= LABEL_MAX,
        )
      );
    })
  );
}

/** The form of an approval of less: what the page on the web offers. */
export const narrowForm = (card: Card, offer: NarrowOffer, token: string): JsonObject => ({
  type: 'modal',
  callback_id: NARROWING.form,
  private_metadata: token,
  title: plainText('Approve less'),
  submit: plainText('Approve this much'),
  close: plainText('Back'),
  blocks: [
    { type: 'section', text: plainText(card.title.slice(0, TITLE_MAX)) },
    ...narrowBlocks(offer),
    {
      ...input(NARROWING.reason, 'Note', { type: 'plain_text_input', max_length: REASON_MAX }),
      optional: true,
    },
  ],
});

function narrowBlocks({
  ttlSeconds,
  validSeconds,
  uses,
  start,
  options,
}: NarrowOffer): JsonObject[] {
  return [
    ...(ttlSeconds === null ? [] : [number('ttl_seconds', 'Lasts, in seconds', ttlSeconds)]),
    number('valid_seconds', 'The approval is good, in seconds', validSeconds),
    ...(uses === 1 ? [] : [number('uses', 'Uses', uses)]),
    ...(start === null
      ? []
      : [
          input('not_before', 'Starts (UTC), later only', {
            type: 'plain_text_input',
            initial_value: start,
            max_length: 40,
          }),
        ]),
    ...options.flatMap(optionBlocks),
  ];
}

const input = (name: string, label: string, element: JsonObject): JsonObject => ({
  type: 'input',
  block_id: name,
  label: plainText(label),
  element: { ...element, action_id: name },
});

const number = (name: string, label: string, most: number): JsonObject =>
  input(name, `${label} (at most ${most})`, {
    type: 'number_input',
    is_decimal_allowed: false,
    min_value: '1',
    max_value: String(most),
    initial_value: String(most),
  });

const ofLabel = (option: string, name: string): string => visible(`Of the ${option}: ${name}`);

function optionBlocks({ name, some, levels }: OfferedOption): JsonObject[] {
  if (some === null)
    return levels.map(([key, upTo], index) => {
      const choices = upTo.map((level) => option(levelChoice(level), visible(level)));
      return input(levelField(name, index), ofLabel(name, key), {
        type: 'static_select',
        options: [option(NO_LEVEL, 'none'), ...choices],
        initial_option: choices.at(-1) ?? option(NO_LEVEL, 'none'),
      });
    });
  const all = some.map((each, index) => option(String(index), visible(each)));
  const list = { type: 'multi_static_select', options: all, initial_options: all };
  return [input(someBlock(name), visible(`Of the ${name}, keep`), list)];
}
