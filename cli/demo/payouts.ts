// The payouts team: a control that looks the same on paper. Its approver agrees before reading, and when somebody
// does refuse, an old shared login that nobody ever took away does the work.
import postgres from 'postgres';
import { CountersignError, withTask } from '../../sdk/index.ts';
import type { DemoAgent, Player } from './cast.ts';
import { query } from './orders.ts';

export interface PayoutsTeam {
  agent: DemoAgent;
  /** Approves everything at once. */
  piet: Player;
  /** Stood in for him once, and refused. */
  ruth: Player;
  /** The old shared login of the sample database. */
  legacyUrl: string;
  say: (line: string) => void;
}

const STAMPED = 4;

export async function playPayouts(team: PayoutsTeam): Promise<void> {
  const { agent, piet, say } = team;
  for (let payout = 1; payout <= STAMPED; payout += 1)
    await withTask(
      agent.client,
      {
        purpose: 'pay customers',
        ttlSeconds: 600,
        waitSeconds: 60,
        onHeld: (request) => void piet.decide(request.id, { decision: 'approve' }),
      },
      async (task) => {
        const login = await task.postgres('payouts-write', { reason: `pay out ${payout}` });
        await query(login, `update payouts set state = 'paid' where id = ${payout}`);
      },
    );
  say(
    `${agent.name} asks ${STAMPED} times to pay out; ${piet.name} approves each within milliseconds`,
  );
  await refusedAndRunAllTheSame(team);
}

async function refusedAndRunAllTheSame({
  agent,
  ruth,
  legacyUrl,
  say,
}: PayoutsTeam): Promise<void> {
  const asked = withTask(
    agent.client,
    {
      purpose: 'pay customers',
      ttlSeconds: 600,
      waitSeconds: 60,
      onHeld: (request) =>
        void ruth.decide(request.id, {
          decision: 'deny',
          reason: 'this customer is disputed',
          disposition: 'stop',
          lookMs: 1_500,
        }),
    },
    (task) => task.postgres('payouts-write', { reason: 'pay out 5' }),
  );
  await asked.catch((error: unknown) => {
    if (!(error instanceof CountersignError)) throw error;
    say(`  ${ruth.name} refuses the fifth: ${error.detail}`);
  });
  const sql = postgres(legacyUrl, { max: 1, onnotice: () => undefined });
  try {
    await sql`update payouts set state = 'paid' where id = 5`;
    await sql`update payouts set state = 'paid' where id = 6`;
  } finally {
    await sql.end({ timeout: 2 });
  }
  say(
    '  minutes later it is paid all the same, and another one with it: through the shared login legacy_batch',
  );
}
