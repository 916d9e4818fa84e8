// Requests that an enforcement point opened about what an agent is about to do.
import type { Service } from '../../cli/compose.ts';
import { asAgentId, findAgent } from '../../commands/agents/agents.ts';
import { findTask } from '../../commands/agents/tasks.ts';
import { openRequest, recordEvaluation } from '../../commands/approvals/requests.ts';
import { activeBundle } from '../../commands/policy/policies.ts';
import { evaluateAction } from '../../commands/policy/questions.ts';
import { transact, type Call } from '../../commands/unit.ts';
import { actionDigest, asJson, type Action } from '../../domain/action.ts';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, startTask, type Cast } from './cast.ts';
import { vote, type TestAgent } from './client.ts';

/** Has policy name these agents as enforcement points. */
export const nameGates = (cast: Cast, gates: readonly TestAgent[]): Promise<unknown> =>
  changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'roles.yaml': `enforcement_points:\n${gates.map(({ name }) => `  - agent: ${name}\n`).join('')}\n${files['roles.yaml'] ?? ''}`,
  }));

export interface ForeignRequest {
  request: string;
  /** Empty while nobody has approved it. */
  permit: string;
  task: string;
  action: JsonObject;
  digest: string;
}

let asked = 0;

/** One about a use of a role, under a task of its own. */
export async function askFor(
  own: Service,
  gate: TestAgent,
  agent: TestAgent,
  role = 'gated',
): Promise<ForeignRequest> {
  const task = await startTask(agent);
  asked += 1;
  const subject = { type: 'agent' as const, id: agent.id };
  const action: Action = {
    subject,
    actor_chain: [subject],
    action: 'credential:request',
    resource: { type: 'role', id: role },
    parameters: { ttl_seconds: 300, row: asked },
    data_class: null,
    destination: `https://${role}.example`,
    context: { task, purpose: 'order support', reason: null },
  };
  const by: Call = { principal: { kind: 'agent', id: asAgentId(gate.id) }, traceId: null };
  const row = await transact(own.deps, by, async (unit) => {
    const bundle = await activeBundle(unit, own.deps.policies);
    const evaluation = await evaluateAction(unit.sql, bundle, action);
    const owner = await findTask(unit.sql, task);
    if (!owner) throw new Error('the task is not there');
    const about = {
      action,
      agent: await findAgent(unit.sql, agent.id),
      task: { id: owner.id, triggeredBy: null, proof: 'none', deadlineAt: owner.deadlineAt },
      reason: null,
      sealTo: null,
      callbackUrl: null,
      audience: gate.id,
    };
    return openRequest(unit, about, recordEvaluation(unit, action, evaluation));
  });
  const digest = actionDigest(action);
  return { request: row.id, permit: '', task, action: asJson(action), digest };
}

/** One that people have approved. */
export async function approvedFor(
  cast: Cast,
  ...asking: Parameters<typeof askFor>
): Promise<ForeignRequest> {
  const waiting = await askFor(...asking);
  const voted = await vote(cast.approver, waiting.request, 'approve');
  if (voted.status !== 201) throw new Error(`the vote was not taken: ${voted.text}`);
  const [row] = await cast.service.database.owner.sql<{ id: string }[]>`
    select id from permit where request = ${waiting.request}`;
  return { ...waiting, permit: row?.id ?? '' };
}
