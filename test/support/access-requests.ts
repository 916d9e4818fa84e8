// Asking people to lift a denial, as an enforcement point does: the fixture of AuthZEN with two gates of its own.
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { evaluation, tuple, type AccessCast } from './authzen.ts';
import { object, text, vote, type Caller, type Reply } from './client.ts';
import { adding, all, replacing } from './policy-files.ts';

/** Publishing and promoting a record take a data owner. */
export const PUBLISHING = all(
  replacing(
    'schema.cedarschema',
    'action "read", "write" appliesTo',
    'action "read", "write", "publish" appliesTo',
  ),
  replacing(
    'schema.cedarschema',
    'resource: [record],\n};',
    'resource: [record],\n  context: { audience?: String, note?: String },\n};\n\naction "promote" appliesTo {\n  principal: [user, Agent, Person],\n  resource: [record],\n};',
  ),
  adding(
    'records.cedar',
    '@id("publish")\n@approval("records")\n@title("Publishing takes a data owner")\npermit (principal is user, action == Action::"publish", resource is record);\n' +
      '@id("promote")\n@approval("records")\npermit (principal, action == Action::"promote", resource is record);',
  ),
  adding(
    'routes.yaml',
    'records:\n  title: Records\n  groups: [data-owners]\n  valid_seconds: 600\n',
  ),
);

let records = 0;

/** A question about a record that no other test is about. */
export const publish = (more: Parameters<typeof tuple>[3] = {}): JsonObject => {
  records += 1;
  return tuple('alice', 'publish', `record-${1000 + records}`, more);
};

export const contextOf = ({ body }: Reply): JsonObject => object(body['context']);

export const taskOf = ({ body }: Reply): JsonObject => object(body['task']);

export const withApproval = (question: JsonObject, approval: JsonValue): JsonObject => ({
  ...question,
  context: { ...object(question['context']), approval },
});

/** The status of a problem document, and the last word of its type. */
export const problem = ({ status: code, body }: Reply): [number, string] => [
  code,
  text(body['type']).split(':').at(-1) ?? '',
];

/** Questions that are not the one that was asked, by as little as there can be. */
export const OTHERS: [string, (question: JsonObject) => JsonObject][] = [
  ['another subject', (question) => ({ ...question, subject: { type: 'user', id: 'alicf' } })],
  [
    'another resource',
    (question) => ({ ...question, resource: { type: 'record', id: 'record-99999' } }),
  ],
  [
    'another property of the subject',
    (question) => ({
      ...question,
      subject: { ...object(question['subject']), properties: { role: 'x' } },
    }),
  ],
  [
    'another property that no rule looks at',
    (question) => ({
      ...question,
      resource: { ...object(question['resource']), properties: { size: 1 } },
    }),
  ],
  ['another context', (question) => ({ ...question, context: { audience: 'everybody' } })],
];

/** What an enforcement point does, in short. */
export interface Asking {
  denied(question: JsonObject, caller?: Caller): Promise<JsonObject>;
  submit(
    question: JsonObject,
    denial: JsonValue,
    more?: JsonObject,
    headers?: Record<string, string>,
    caller?: Caller,
  ): Promise<Reply>;
  /** Takes a question all the way to people, and says which task that is. */
  asked(question: JsonObject, more?: JsonObject): Promise<string>;
  status(task: string, caller?: Caller): Promise<Reply>;
  /** Has somebody approve, and says what to evaluate again with. */
  approved(task: string): Promise<JsonObject>;
  again(
    question: JsonObject,
    approval: JsonValue,
    headers?: Record<string, string>,
    caller?: Caller,
  ): Promise<Reply>;
}

/** The hands of an enforcement point. */
export function askingAs({ point, approver }: AccessCast): Asking {
  const at: Asking = {
    denied: async (question, caller = point) => {
      const context = contextOf(await evaluation(caller, question));
      return {
        evaluation_id: context['evaluation_id'] ?? null,
        evaluated_at: context['evaluated_at'] ?? null,
        reason: context['reason'] ?? null,
        expires_at: object(context['access_request'])['expires_at'] ?? null,
      };
    },
    submit: (question, denial, more = {}, headers = {}, caller = point) =>
      caller.call('POST', '/access/v1/requests', { ...question, denial, ...more }, headers),
    asked: async (question, more = {}) => {
      const reply = await at.submit(question, await at.denied(question), more);
      if (reply.status !== 202) throw new Error(`nobody was asked: ${reply.text}`);
      return text(taskOf(reply)['id']);
    },
    status: (task, caller = point) => caller.call('GET', `/access/v1/requests/${task}`),
    approved: async (task) => {
      const voted = await vote(approver, task, 'approve');
      if (voted.status !== 201) throw new Error(`nobody approved: ${voted.text}`);
      const { body } = await at.status(task);
      return object(object(body['result'])['approval']);
    },
    again: (question, approval, headers = {}, caller = point) =>
      evaluation(caller, withApproval(question, approval), headers),
  };
  return at;
}
