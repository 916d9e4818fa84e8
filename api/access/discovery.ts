// @spec AuthZEN-1.0#section-9
// Where an enforcement point finds everything else.
import { z } from 'zod';
import { SEARCHES } from '../../commands/authzen/search.ts';
import { defineRoute, ok } from '../route.ts';

const url = z.string();

export const discoveryRoute = defineRoute({
  method: 'get',
  path: '/.well-known/authzen-configuration',
  tag: 'AuthZEN',
  summary: 'Where the Authorization API is, and what it can do',
  allow: ['anyone'],
  answers: {
    200: {
      description: 'The metadata of this policy decision point',
      schema: z.object({
        policy_decision_point: url,
        access_evaluation_endpoint: url,
        access_evaluations_endpoint: url,
        search_subject_endpoint: url,
        search_resource_endpoint: url,
        search_action_endpoint: url,
        access_request_endpoint: url,
        capabilities: z.array(z.string()),
      }),
    },
  },
  refusals: [],
  events: [],
  handle: (_incoming, { publicUrl }) => {
    const at = (path: string): string => `${publicUrl}/access/v1/${path}`;
    return Promise.resolve(
      ok({
        policy_decision_point: publicUrl,
        access_evaluation_endpoint: at('evaluation'),
        access_evaluations_endpoint: at('evaluations'),
        ...Object.fromEntries(
          SEARCHES.map((search) => [`search_${search}_endpoint`, at(`search/${search}`)]),
        ),
        // @spec ARAP-1.0-draft-1#discovery
        access_request_endpoint: at('requests'),
        capabilities: ['urn:openid:authzen:capability:access-request'],
      }),
    );
  },
});
