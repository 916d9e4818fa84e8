// A small API as its reference page shows it.
import type { Reference } from '../../web/reference.tsx';

const member = { name: 'id', type: 'text', refers: 'Agent', required: true, says: '' };
export const reference: Reference = {
  groups: [
    {
      name: 'Agents',
      operations: [
        {
          id: 'getAgent',
          method: 'GET',
          path: '/v1/agents/{id}',
          summary: '<script>alert(1)</script>',
          who: 'person',
          events: ['vote.cast'],
          parameters: [member],
          body: null,
          answers: [
            {
              status: '200',
              says: 'The agent',
              contentType: 'application/json',
              shape: { refers: 'Agent', type: 'Agent', members: [] },
            },
          ],
          refusals: [{ status: '404', codes: ['not_found'] }],
        },
      ],
    },
  ],
  schemas: [{ name: 'Agent', shape: { refers: null, type: 'object', members: [member] } }],
  refusalCodes: [{ code: 'not_found', status: 404 }],
  eventTypes: [{ name: 'vote.cast', open: ['vote'], committed: ['reason'] }],
  publicUrl: 'http://localhost:8080',
};
