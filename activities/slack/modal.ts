// The form in which somebody says why they deny. It carries a name of ours and nothing that decides anything.
import { DENIAL } from '../../commands/slack/deliveries.ts';
import type { Card } from '../../domain/card.ts';
import type { JsonObject } from '../../domain/json.ts';
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
