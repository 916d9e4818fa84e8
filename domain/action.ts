// What is asked for, evaluated, shown, approved and run: one shape, one digest.
import { commitmentTo, digestOf, type Digest } from './digest.ts';
import type { JsonObject } from './json.ts';

export interface Party {
  type: 'agent' | 'person' | 'service' | 'slack' | 'scanner' | 'workflow';
  id: string;
}

export interface Action {
  subject: Party;
  /** Who acts for whom, outermost first; the subject itself when nobody else is involved. */
  actor_chain: Party[];
  action: string;
  resource: { type: string; id: string };
  parameters: JsonObject;
  data_class: string | null;
  destination: string | null;
  context: JsonObject;
}

/** The digest an approval is bound to: it covers every member of the action. */
export function actionDigest(action: Action): Digest {
  return digestOf('countersign/action/v1', asJson(action));
}

/** How the public log names an action without letting anyone guess its parameters. */
export function actionRef(salt: Uint8Array, digest: Digest): Digest {
  return commitmentTo('countersign/action-ref/v1', salt, digest);
}

/** An action as plain JSON, for digests, storage and answers. */
export function asJson(action: Action): JsonObject {
  const party = ({ type, id }: Party): JsonObject => ({ type, id });
  return {
    subject: party(action.subject),
    actor_chain: action.actor_chain.map(party),
    action: action.action,
    resource: { type: action.resource.type, id: action.resource.id },
    parameters: action.parameters,
    data_class: action.data_class,
    destination: action.destination,
    context: action.context,
  };
}
