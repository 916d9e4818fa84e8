// Calls that take an Idempotency-Key about deciding: questions, absences, another purpose, and what may be done.
import { hold, startTask } from './cast.ts';
import { admin, eventually, newKey, object, person, text } from './client.ts';
import type { Stage, Steps } from './once-steps.ts';

/** When a test says that somebody is away. */
const tomorrow = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();

export const decidingSteps = (stage: () => Stage): Steps => ({
  'POST /v1/people/{id}/absences': async () => {
    const { service } = stage().cast;
    const away = await person(service, 'Una', ['data-owners']);
    const standIn = await person(service, 'Sten', ['visitors']);
    const body = { stand_in: standIn.id, starts_at: tomorrow(1), ends_at: tomorrow(2) };
    return {
      by: admin(service),
      path: `/v1/people/${away.id}/absences`,
      body,
      otherwise: { ...body, ends_at: tomorrow(3) },
    };
  },
  'POST /v1/requests/{id}/questions': async () => {
    const { cast } = stage();
    const { request } = await hold(cast.agent, await newKey());
    return {
      by: cast.approver,
      path: `/v1/requests/${request}/questions`,
      body: { to: 'agent', text: 'Which order is it?' },
      otherwise: { to: 'agent', text: 'Whose order is it?' },
    };
  },
  'POST /v1/requests/{id}/questions/{question}/answer': async () => {
    const { cast } = stage();
    const { request } = await hold(cast.agent, await newKey());
    const path = `/v1/requests/${request}/questions`;
    const asked = await cast.approver.call('POST', path, { to: 'agent', text: 'Which order?' });
    return {
      by: cast.agent,
      path: `${path}/${text(object(asked.body['question'])['id'])}/answer`,
      body: { text: 'The seventh.' },
      otherwise: { text: 'The eighth.' },
    };
  },
  'POST /v1/tasks/{id}/purpose': async () => {
    const { cast } = stage();
    const task = await startTask(cast.agent);
    await eventually(
      async () => (await cast.agent.call('GET', `/v1/tasks/${task}`)).status === 200,
    );
    return {
      by: cast.agent,
      path: `/v1/tasks/${task}/purpose`,
      body: { purpose: 'refunds', reason: 'the order is paid' },
      otherwise: { purpose: 'returns', reason: 'the order is paid' },
    };
  },
});
