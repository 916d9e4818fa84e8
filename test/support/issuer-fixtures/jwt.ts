// Tokens of our own. No target is asked: what ends them is our lease, from which introspection answers.
import { decodeJwt } from 'jose';
import { jwtIssuer } from '../../../activities/issuers/jwt.ts';
import { jwtRole, OWN_TOKENS } from '../../../commands/access/jwt.ts';
import { ACCESS_TOKEN } from '../../../keys/tokens.ts';
import { text } from '../client.ts';
import { testWorld } from '../issuing.ts';
import { fileKey, tokensOf } from '../signing.ts';
import { anyRole, clockOf, type IssuerKind } from './fixture.ts';

const ISSUER = 'https://issuer.example';
const AUDIENCE = 'https://api.example';

export const jwtKind: IssuerKind = {
  name: 'jwt',
  start: async () => {
    const filed = await fileKey('active');
    const keys = await tokensOf([filed]);
    const world = testWorld();
    const closed = new Set<unknown>();
    return {
      issuer: jwtIssuer(keys, ISSUER, () => world.now()),
      target: { name: OWN_TOKENS, definition: null },
      theirs: null,
      broken: null,
      role: jwtRole.parse({ ...anyRole, issuer: 'jwt', audience: AUDIENCE }),
      closing: (credentials) => {
        for (const each of credentials) closed.add(each);
      },
      // As an API does that asks us: the signature, the time, and whether its lease is alive.
      works: async (material) => {
        const token = text(material['token']);
        const { exp = 0, jti } = decodeJwt(token);
        const isOurs = (await keys.verify(token, ACCESS_TOKEN, ISSUER, AUDIENCE)) !== null;
        return isOurs && exp * 1000 > world.now() && !closed.has(jti);
      },
      secretsOf: (material) => [text(material['token'])],
      ownSecrets: [filed.privateKey.export({ format: 'jwk' }).d ?? ''],
      clock: clockOf(world),
      close: () => Promise.resolve(),
    };
  },
};
