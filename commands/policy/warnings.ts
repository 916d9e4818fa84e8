// What rules that are being tried out have to say to whoever asked.
import type { Answer } from '../once.ts';
import type { Evaluation } from './evaluate.ts';

/** What rules with `@mode("warn")` would have done. */
export const warningsOf = ({ observed }: Pick<Evaluation, 'observed'>): string[] =>
  observed.filter(({ mode }) => mode === 'warn').map(({ says }) => says);

/** An answer that says so, where there is anything to say. */
export const withWarnings = (answer: Answer, warnings: readonly string[]): Answer =>
  warnings.length === 0
    ? answer
    : { ...answer, body: { ...asObject(answer), warnings: [...warnings] } };

/** Sound because every answer about an action is a JSON object. */
const asObject = ({ body }: Answer) => body as Record<string, typeof body>;
