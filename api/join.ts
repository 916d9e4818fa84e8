// Join tokens: made by an administrator, agreed to by people, used once by the workload itself.
import { answerOnce } from '../commands/once.ts';
import { askForJoinToken, joinAgent, joinTokenHash } from '../commands/sign-in/join.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { asJsonObject } from './json-body.ts';
import { presentHeld, presentJoinToken, presentKey } from './present.ts';
import { created, defineRoute } from './route.ts';
import * as shape from './schemas.ts';

const make = defineRoute({
  method: 'post',
  path: '/v1/agents/{id}/join-tokens',
  tag: 'Agents',
  summary: 'Make a token with which a workload brings a key of its own, once people agree',
  description:
    'The token is told in this answer alone. Until its request is approved it is good for nothing; it is used up by the first key that comes with it.',
  allow: ['admin'],
  body: shape.joinTokenBody,
  answers: {
    201: {
      description: 'The token, where policy plainly permits it',
      schema: shape.madeJoinToken,
    },
    202: {
      description: 'The token; it is good once people have approved the request',
      schema: shape.heldJoinToken,
      headers: { Location: 'The path of the request' },
    },
  },
  refusals: ['not_found', 'wrong_state', 'denied', 'no_approver'],
  events: ['evaluation.decided', 'request.opened', 'agent.join_token_made'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const made = await askForJoinToken(unit, deps, params['id'] ?? '', body.ttl_seconds);
      if (made instanceof Refusal) return made;
      const shown = { join_token: presentJoinToken(made) };
      if (made.request === null) return created(shown);
      return presentHeld(unit.sql, made.request, deps.publicUrl, shown);
    }),
});

const join = defineRoute({
  method: 'post',
  path: '/v1/join',
  tag: 'Agents',
  summary: 'Bring a public key with a join token; the token is used up',
  description:
    'One of all who try succeeds. A repeat with the same key, after a lost answer, is told the same again.',
  keyedBy: ({ token }) => `join:${joinTokenHash(token)}`,
  allow: ['anyone'],
  body: shape.joinBody,
  answers: { 201: { description: 'The agent that the key now signs in as', schema: shape.joined } },
  refusals: [
    'not_found',
    'weak_key',
    'private_key_sent',
    'key_in_use',
    'join_token_used',
    'join_token_expired',
    'join_not_approved',
    'wrong_state',
  ],
  events: ['agent.joined'],
  handle: async ({ call, once, body }, deps) => {
    // A key that is no good costs nobody the token.
    const key = await readPublicKey(asJsonObject(body.key), 'weak_key');
    return answerOnce(deps, call, once, async (unit) => {
      const joined = await joinAgent(unit, body.token, key);
      const { id, name, spiffeId } = joined.agent;
      return created({ agent: { id, name, spiffe_id: spiffeId }, key: presentKey(joined.key) });
    });
  },
});

export const joinRoutes = [make, join];
