// The orders team: a control that is worked properly. People look, refuse, ask for less, and what they refuse stays
// refused.
import postgres from 'postgres';
import { CountersignError, withTask, type Client, type PostgresMaterial } from '../../sdk/index.ts';
import type { FakeSlack } from '../../test/fakes/slack.ts';
import type { DemoAgent, Player } from './cast.ts';

export interface OrdersTeam {
  automation: Client;
  agent: DemoAgent;
  /** Approver of writes to orders; decides on the web and in Slack. */
  dana: Player;
  danaInSlack: string;
  /** Owner of the agent, who may not approve for it. */
  olga: Player;
  slack: FakeSlack;
  say: (line: string) => void;
}

export async function playOrders(team: OrdersTeam): Promise<void> {
  const { agent, say } = team;
  await withTask(
    agent.client,
    { purpose: 'answer customers about orders', ttlSeconds: 600 },
    async (task) => {
      const login = await task.postgres('orders-readonly');
      const [row] = await query(login, 'select count(*)::int as number from orders');
      say(`${agent.name} reads orders without asking anybody: ${String(row?.['number'])} of them`);
    },
  );
  await refundApprovedInSlack(team);
  await refundRefusedThenRevised(team);
}

/** Held, shown in Slack, looked at, approved with a click; then used for exactly that. */
async function refundApprovedInSlack({
  agent,
  dana,
  danaInSlack,
  olga,
  slack,
  say,
}: OrdersTeam): Promise<void> {
  const work = withTask(
    agent.client,
    {
      purpose: 'refund a broken lamp',
      ttlSeconds: 600,
      waitSeconds: 60,
      onHeld: (request) => {
        say(`${agent.name} asks to write to orders and waits: ${request.url}`);
        void decide(request.id);
      },
    },
    async (task) => {
      const login = await task.postgres('orders-write', {
        reason: 'refund order 7, arrived broken',
      });
      await query(login, `update orders set state = 'refunded' where id = 7`);
      say(`${agent.name} was given a login for ten minutes, refunds order 7, and gives it back`);
    },
  );
  const decide = async (request: string): Promise<void> => {
    const own = await olga.decide(request, { decision: 'approve' });
    say(`  ${olga.name} owns the agent and tries to approve: ${own.status} ${own.code ?? ''}`);
    const message = await slack.messageWith((each) =>
      JSON.stringify(each.blocks).includes(request),
    );
    await pause(2_500);
    await slack.click(message, 'approve', danaInSlack);
    // The click is worked off after Slack was answered; then its card has no buttons any more.
    await slack.messageWith(
      ({ ts, blocks }) => ts === message.ts && !blocks.some(({ type }) => type === 'actions'),
    );
    say(`  ${dana.name} reads the card in Slack and approves`);
    const late = await dana.decide(request, { decision: 'deny' });
    say(`  ${dana.name} changes her mind too late: ${late.status} ${late.code ?? ''}`);
  };
  await work;
}

/** A refusal that holds, and a narrower request that does not need one. */
async function refundRefusedThenRevised({ agent, dana, say }: OrdersTeam): Promise<void> {
  const ask = (reason: string, answer: Parameters<Player['decide']>[1]): Promise<void> =>
    withTask(
      agent.client,
      {
        purpose: 'refund late deliveries',
        ttlSeconds: 600,
        waitSeconds: 60,
        onHeld: (request) => void dana.decide(request.id, answer),
      },
      async (task) => {
        const login = await task.postgres('orders-write', { reason });
        await query(login, `update orders set state = 'refunded' where id = 9`);
      },
    );
  say(`${agent.name} asks to refund every late order`);
  await ask('refund all orders of this week', {
    decision: 'deny',
    reason: 'one order, not all of them',
    disposition: 'revise',
    lookMs: 3_000,
  }).catch((error: unknown) => {
    if (!(error instanceof CountersignError)) throw error;
    say(`  ${dana.name} refuses, and says what would do: ${error.detail}`);
  });
  await ask('refund order 9, three weeks late', { decision: 'approve', lookMs: 2_500 });
  say(`  asked for one order, ${dana.name} approves, and it is done`);
}

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** Runs a statement with the login an agent was given, as its own program would. */
export async function query(
  login: PostgresMaterial,
  statement: string,
): Promise<Record<string, unknown>[]> {
  const sql = postgres(login.url, { max: 1, onnotice: () => undefined });
  try {
    return await sql.unsafe(statement);
  } finally {
    await sql.end({ timeout: 2 });
  }
}
