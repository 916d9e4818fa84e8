// Requests that wait for people. There is no command to vote, on purpose: a vote needs a person who is there, and a
// terminal on which agents run cannot tell.
import type { Command } from 'commander';
import type { AccessRequest } from '../../sdk/index.ts';
import { EXIT_OF_REQUEST, UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  positive,
  printResult,
  resultCommand,
  type OutputFlags,
} from './command.ts';
import { agentOptions, asAgent, asEither, type AgentFlags } from './session.ts';
import { facts, json, table, when, type Terminal } from './terminal.ts';

const WAIT_SECONDS = 900;

/** What only a person does, on the page: asked for here, it says where that is. */
const VOTES = [
  ['approve', 'says where a person approves it; no command votes'],
  ['deny', 'says where a person denies it; no command votes'],
  ['ask', 'says where an approver asks about it first'],
] as const;

type Flags = OutputFlags & AgentFlags;

export function requestCommands(program: Command, terminal: Terminal): void {
  const request = program.command('request').description('requests that wait for people');
  agentOptions(limitOption(resultCommand(request, 'list', 'list requests; an agent sees its own')))
    .option(
      '--state <state>',
      'pending, approved, denied, expired, cancelled, superseded, failed or consumed',
    )
    .action((flags: ListFlags) => list(terminal, flags));
  agentOptions(
    resultCommand(request, 'show <id>', 'show a request, and where people decide'),
  ).action(async (id: string, flags: Flags) =>
    printRequest(terminal, flags, await (await asEither(terminal, flags)).requests.get(id)),
  );
  agentOptions(
    resultCommand(request, 'wait <id>', 'wait until it is decided; the exit code says how'),
  )
    .option('--timeout <seconds>', 'how long', positive, WAIT_SECONDS)
    .action(async (id: string, flags: Flags & { timeout: number }) => {
      const client = await asEither(terminal, flags);
      const seen = await client.requests.wait(id, { timeoutSeconds: flags.timeout });
      printRequest(terminal, flags, seen);
      terminal.endWith(EXIT_OF_REQUEST[seen.state]);
    });
  agentOptions(
    resultCommand(request, 'cancel <id>', 'withdraw a request nobody has decided'),
  ).action(async (id: string, flags: Flags) =>
    printRequest(terminal, flags, await (await asEither(terminal, flags)).requests.cancel(id)),
  );
  agentOptions(
    resultCommand(
      request,
      'answer <id> <question> <text>',
      'answer a question of an approver, as the agent it was put to',
    ),
  ).action(async (id: string, question: string, text: string, flags: Flags) => {
    const { request: seen } = await (
      await asAgent(terminal, flags)
    ).requests.answer(id, question, text);
    printRequest(terminal, flags, seen);
  });
  for (const [name, does] of VOTES)
    agentOptions(request.command(`${name} <id>`).description(does))
      .allowUnknownOption()
      .allowExcessArguments()
      .action(async (id: string, flags: AgentFlags) => {
        const { url } = await (await asEither(terminal, flags)).requests.get(id);
        throw new UsageError(
          `no command votes or asks, as a terminal cannot tell a person from an agent in it: sign in and do it at ${url}`,
        );
      });
  agentOptions(resultCommand(request, 'remind <id>', 'remind the approvers now')).action(
    async (id: string, flags: Flags) => {
      const reminded = await (await asEither(terminal, flags)).requests.remind(id);
      printResult(terminal, flags, reminded, () => 'The approvers are being told.');
    },
  );
}

interface ListFlags extends Flags {
  limit: number;
  state?: AccessRequest['state'];
}

async function list(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asEither(terminal, flags);
  const { state } = flags;
  const items = eachItem((cursor) => client.requests.list({ state, cursor }));
  const requests = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: requests }, () =>
    table(
      ['REQUEST', 'STATE', 'WANTS', 'BY', 'ROUTES', 'EXPIRES'],
      requests.map((each) => [
        each.id,
        each.state,
        wantedBy(each),
        each.action.subject.id,
        progressOf(each),
        when(each.expires_at),
      ]),
    ),
  );
}

const wantedBy = ({ action }: AccessRequest): string => `${action.action} ${action.resource.id}`;

const progressOf = ({ routes }: AccessRequest): string =>
  routes.map(({ name, approvals, quorum }) => `${name} ${approvals}/${quorum}`).join(', ');

/** What every stage of every route still needs, where there is more to say than a number. */
const seatLines = ({ routes }: AccessRequest) =>
  routes.flatMap(({ name, stages }) =>
    stages.flatMap(({ title, state, seats }, at) =>
      stages.length < 2 && seats.length < 2
        ? []
        : [
            [
              stages.length < 2 ? name : `${name} ${at + 1}/${stages.length}`,
              `${title === null ? '' : `${title}: `}${seats
                .map((seat) => `${seat.approvals} of ${seat.quorum} ${seat.groups.join(' or ')}`)
                .join(', ')} (${state})`,
            ] as const,
          ],
    ),
  );

function printRequest(terminal: Terminal, flags: OutputFlags, request: AccessRequest): void {
  const { action, denial } = request;
  const said = (name: string): string | undefined => {
    const value = action.context[name];
    return typeof value === 'string' ? value : undefined;
  };
  printResult(terminal, flags, request, () =>
    facts([
      ['request', request.id],
      ['state', request.state],
      ['wants', wantedBy(request)],
      ['by', action.subject.id],
      ['at', action.destination ?? undefined],
      ['purpose', said('purpose')],
      ['reason', said('reason')],
      ['routes', progressOf(request)],
      ...seatLines(request),
      ...request.votes.map(
        (vote) =>
          [
            'vote',
            `${vote.decision} by ${vote.person}, ${vote.channel}${
              vote.in_stead_of === null ? '' : `, in the stead of ${vote.in_stead_of}`
            }`,
          ] as const,
      ),
      ...request.questions.map(
        (each) => [`${each.state} question`, `${each.id} to ${each.to}: ${each.text}`] as const,
      ),
      ['denied because', denial?.reason ?? undefined],
      ['told to', denial?.disposition],
      ['narrowed to', request.narrowed === null ? undefined : json(request.narrowed.limits, 0)],
      ['begins', request.starts_at === null ? undefined : when(request.starts_at)],
      ['expires', when(request.expires_at)],
      [
        'approved until',
        request.approved_until === null ? undefined : when(request.approved_until),
      ],
      ['credential', request.credential ?? undefined],
      ['people decide at', request.url],
    ]),
  );
}
