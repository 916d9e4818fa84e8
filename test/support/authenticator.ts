// People with passkeys, as tests of the service need them.
import type { JsonObject } from '../../domain/json.ts';
import { text, type Caller, type Reply } from './client.ts';
import { Passkey, type Kind, type Wrong } from './software-passkey.ts';

/** Adds a passkey to whoever is signed in. */
export async function addPasskey(
  who: Caller,
  { kind = 'ES256', wrong = {} }: { kind?: Kind; wrong?: Wrong } = {},
): Promise<{ passkey: Passkey; reply: Reply }> {
  const passkey = new Passkey(kind);
  const asked = await who.call('POST', '/v1/session/passkeys/challenge', {});
  if (asked.status !== 201) return { passkey, reply: asked };
  const made = passkey.make(asked.body, wrong);
  const reply = await who.call('POST', '/v1/session/passkeys', { name: 'Phone', ...made });
  return { passkey, reply };
}

/** Has what a vote would say signed, without casting it. */
export async function statementFor(
  voter: Caller,
  request: string,
  words: JsonObject = {},
): Promise<{ reply: Reply; spoken: JsonObject }> {
  const seen = await voter.call('GET', `/v1/requests/${request}`);
  const spoken = { decision: 'approve', shown: text(seen.body['shown']), ...words };
  return { reply: await voter.call('POST', `/v1/requests/${request}/statement`, spoken), spoken };
}

/** Votes with a passkey, in the words that were signed. */
export async function signedVote(
  voter: Caller,
  request: string,
  passkey: Passkey,
  words: JsonObject = {},
): Promise<Reply> {
  const { reply, spoken } = await statementFor(voter, request, words);
  return voter.call('POST', `/v1/requests/${request}/votes`, {
    ...spoken,
    passkey: passkey.sign(reply.body),
  });
}
