// Logins that lay ready for when we are down, as the leaves tell of them: each is a lease under the request in which
// people agreed to it, and its use is an emergency of the two who held its halves.
import { text, type Case, type Fact, type Lease } from './fact.ts';

/** Notes how long a login was to lie ready, and when its target was seen to know it no more. */
export function addKit(leases: Map<string, Lease>, fact: Fact): void {
  const id = text(fact.detail['kit']) ?? '';
  const lease: Lease = leases.get(id) ?? {
    request: fact.request,
    evaluation: null,
    issued: false,
    until: null,
    ended: null,
  };
  leases.set(id, lease);
  if (fact.name === 'emergency.kit_intended') lease.until = text(fact.detail['expires_at']);
  if (fact.name === 'emergency.kit_ended') lease.ended = fact.time;
}

/** The login of ours that something was done with, where it was one that lay ready. */
export const kitBehind = ({ detail, subject }: Fact): string | null =>
  detail['login'] === 'kit' ? subject : null;

/** That it was used, as it was first seen. */
export const offlineUseOf = ({ facts }: Pick<Case, 'facts'>): Fact | undefined =>
  facts.find(({ name }) => name === 'emergency.offline_used');

/** Who held a half by the time it was first seen at work: by what each of them collected. */
export const holdersOf = ({ facts }: Pick<Case, 'facts'>, used: Fact): Set<string> =>
  new Set(
    facts
      .filter(({ name, index }) => name === 'emergency.share_collected' && index < used.index)
      .flatMap(({ detail }) => text(detail['person']) ?? []),
  );
