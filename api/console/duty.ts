// The page of who is on duty: schedules as they last answered, stand-ins, and the ways on which approvers are told.
import { isOnCallGood } from '../../commands/approvals/approvers.ts';
import { channelStandings, type ChannelStanding } from '../../commands/channels/channels.ts';
import { onCallAnswers, onCallNames } from '../../commands/people/on-call.ts';
import { readActiveBundle } from '../../commands/policy/policies.ts';
import { webhookName } from '../../domain/notice.ts';
import { sourcesIn } from '../../domain/seats.ts';
import { DutyPage, type ChannelLine, type DutyLine } from '../../web/duty.tsx';
import { awayNow } from './absences.ts';
import { page, type ConsoleDeps, type ConsoleRoute } from './console.ts';
import { personNames } from './names.ts';

async function sourcesNow(deps: ConsoleDeps, now: string): Promise<DutyLine[]> {
  const { query } = deps.db;
  const { routes } = await readActiveBundle(query, deps.policies);
  const asks = [...routes].map(([name, { rule }]) => ({ name, sources: sourcesIn(rule) }));
  const answers = await onCallAnswers(query);
  const name = await personNames(
    query,
    answers.flatMap((row) => row.people),
  );
  // What a route asks and nobody connected is shown, too: it puts nobody on call.
  const sources = [...(await onCallNames(query)), ...asks.flatMap((each) => each.sources)];
  return [...new Set(sources)].toSorted().map((source) => {
    const row = answers.find((each) => each.source === source);
    return {
      source,
      routes: asks.filter((each) => each.sources.includes(source)).map((each) => each.name),
      people: (row?.people ?? []).map((id) => name(id)),
      unmatched: row?.unmatched ?? 0,
      lookedAt: row?.lookedAt ?? null,
      counts: row !== undefined && isOnCallGood(row, now),
      code: row?.code ?? null,
    };
  });
}

const channelLine = ({ row, waiting }: ChannelStanding): ChannelLine => ({
  name: webhookName(row.name) ?? 'e-mail',
  kind: webhookName(row.name) === null ? 'e-mail' : 'webhook',
  isEnabled: row.state === 'enabled',
  failingSince: row.failingSince,
  lastCode: row.lastCode,
  waiting,
});

const show: ConsoleRoute = {
  method: 'get',
  path: '/on-duty',
  who: 'person',
  handle: async ({ shell }, deps) =>
    page(
      DutyPage({
        shell,
        sources: await sourcesNow(deps, shell.now),
        away: await awayNow(deps.db.query, shell.now),
        channels: (await channelStandings(deps.db.query)).map(channelLine),
      }),
    ),
};

export const dutyPages = [show];
