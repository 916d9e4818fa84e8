// Every page of the console with the worst that can be in it: markup, quotes, hidden characters.
import { freezeRoute } from '../../domain/approval.ts';
import { cardFor } from '../../domain/card.ts';
import { AgentPage } from '../../web/agent.tsx';
import { AgentsPage } from '../../web/agents.tsx';
import { ControlsPage, VerdictPage } from '../../web/controls.tsx';
import type { CredentialLine } from '../../web/credentials.tsx';
import { EventPage, LogPage, type EventView } from '../../web/log.tsx';
import type { Html } from '../../web/parts.tsx';
import { PolicyPage } from '../../web/policy.tsx';
import { ProblemPage } from '../../web/problem.tsx';
import { ReferencePage } from '../../web/reference.tsx';
import type { RequestView, Standing } from '../../web/request-data.ts';
import { RequestPage } from '../../web/request.tsx';
import { InboxPage, RequestsPage, type RequestSummary } from '../../web/requests.tsx';
import type { Shell } from '../../web/shell.ts';
import { StoppingPage } from '../../web/stopping.tsx';
import { TaskPage } from '../../web/task.tsx';
import { discoveryPages } from './discovery-pages.ts';
import { emergencyPages } from './emergency-pages.ts';
import { leakPages } from './leak-pages.ts';
import { newLog } from './leaves.ts';
import { peoplePages } from './people-pages.ts';
import { reference } from './reference-page.ts';
import { reviewPages } from './review-pages.ts';
import { routeViewTitled, ruleTitled } from './rules.ts';
import { secretPages } from './secret-pages.ts';
import { ticketsIn } from './upstreams.ts';

/** Text as an attacker would write it: tags, attributes, a right-to-left override, a zero-width space. */
export const HOSTILE =
  '</title><script>alert(1)</script><img src=x onerror=alert(1)>" onfocus="alert(1)\' \u202Etxet\u202C zero\u200Bwidth';

const AT = '2026-11-21T10:00:00.000Z';
const LATER = '2026-11-21T11:00:00.000Z';
const DIGEST = `sha256:${'ab'.repeat(32)}` as const;

export const shell: Shell = {
  reader: { id: 'psn_1', name: HOSTILE, roles: ['admin'] },
  csrf: 'the-csrf-token',
  path: '/requests',
  waiting: 3,
  emergencies: 2,
  now: AT,
  assets: {
    style: '/assets/style.css',
    script: '/assets/console.js',
    passkey: '/assets/passkey.js',
    icon: '/assets/favicon.svg',
  },
  version: '1.0.0',
};
const stranger: Shell = { ...shell, reader: null, csrf: '' };

const log = newLog();
log.wrote(log.approved());
const verdict = log.judge();

const decided = {
  state: 'denied',
  decidedAt: AT,
  decidedBy: HOSTILE,
  denial: { reason: HOSTILE, disposition: 'revise' },
};

const rule = ruleTitled(HOSTILE);

const card = cardFor({
  request: 'req_1',
  action: {
    subject: { type: 'agent', id: 'agt_1' },
    actor_chain: [{ type: 'agent', id: 'agt_1' }],
    action: 'credential:request',
    resource: { type: 'role', id: 'orders-write' },
    parameters: { ttl_seconds: 600 },
    data_class: 'internal',
    destination: 'postgres:sample',
    context: { task: 'tsk_1', purpose: HOSTILE, reason: HOSTILE },
  },
  digest: DIGEST,
  routes: [freezeRoute('orders-write', rule)],
  names: {
    agent: 'orders-bot',
    owner: HOSTILE,
    team: HOSTILE,
    requester: 'orders-bot',
    triggeredBy: HOSTILE,
    actingFor: null,
  },
  ...{ whyHeld: ['policy write-orders'], risk: null },
  expiresAt: LATER,
});

/** A request as its page shows it, in one standing. */
export const requestIn = (standing: Standing, more: Partial<RequestView> = {}): RequestView => ({
  id: 'req_1',
  state: 'pending',
  card,
  shown: DIGEST,
  action: JSON.stringify(card.action, null, 2),
  role: { title: HOSTILE, gives: 'member of orders_write', seconds: 900 },
  controls: ['orders-write'],
  whyHeld: [HOSTILE],
  policyVersion: DIGEST,
  routes: [routeViewTitled(HOSTILE)],
  votes: [
    {
      person: HOSTILE,
      decision: 'deny',
      channel: 'web',
      strength: 'fresh',
      at: AT,
      reason: HOSTILE,
      ...{ inSteadOf: HOSTILE, slackBinding: 'email_match' },
    },
  ],
  startsAt: null,
  asks: ['agent', 'owner'],
  toAnswer: [{ id: 'qst_1', by: HOSTILE, text: HOSTILE }],
  narrowable: {
    ttlSeconds: 600,
    validSeconds: 900,
    uses: 3,
    start: LATER,
    options: [{ name: 'repositories', some: [HOSTILE], levels: [['contents', ['read', 'write']]] }],
  },
  createdAt: AT,
  expiresAt: LATER,
  decidedAt: null,
  decidedBy: null,
  approvedUntil: null,
  denial: null,
  failure: null,
  agent: 'agt_1',
  task: { id: 'tsk_1', purpose: HOSTILE, state: 'running', trigger: HOSTILE, proof: 'claimed' },
  credential: { id: 'crd_1', state: 'active', expiresAt: LATER },
  standing,
  audits: true,
  ...more,
});

const summary: RequestSummary = {
  id: 'req_1',
  state: 'pending',
  title: HOSTILE,
  purpose: HOSTILE,
  approvals: 0,
  quorum: 1,
  createdAt: AT,
  expiresAt: LATER,
};

const lease: CredentialLine = {
  id: 'crd_1',
  role: 'orders-write',
  issuer: 'postgres',
  target: 'sample',
  state: 'active',
  request: 'req_1',
  grant: 'grn_1',
  task: 'tsk_1',
  issuedAt: AT,
  expiresAt: LATER,
  lastUsedAt: null,
  endedAt: null,
  because: null,
  attempts: 0,
  nextTryAt: null,
  lastError: null,
  seenGone: null,
};

const failing = { ...lease, id: 'crd_3', state: 'revoke_failed', attempts: 7, lastError: HOSTILE };

const agentLine = {
  id: 'agt_1',
  name: 'orders-bot',
  kind: 'ai_agent',
  state: 'active',
  owner: HOSTILE,
  team: HOSTILE,
  alive: 1,
  lastUsedAt: AT,
};

const event: EventView = {
  id: 'evt_1',
  name: 'vote.cast',
  time: AT,
  subject: 'req_1',
  decision: 'approve',
  logIndex: 7,
  links: [{ label: 'request', href: '/requests/req_1' }],
  detail: [{ name: 'vote', text: 'vot_1' }],
  disclosed: [{ name: 'reason', text: HOSTILE }],
  committed: ['name'],
};

const said = { says: HOSTILE, details: [HOSTILE] };
const registration = {
  kinds: ['ai_agent'],
  people: [{ id: 'psn_1', name: HOSTILE }],
  values: { name: HOSTILE, purpose: HOSTILE, key: HOSTILE },
  once: 'once-once-once-once',
};

/** Every page by name. */
export const PAGES: Record<string, () => Html> = {
  ...peoplePages(shell, stranger, HOSTILE, said),
  'the inbox': () =>
    InboxPage({
      shell,
      inbox: {
        waiting: [summary],
        capped: false,
        own: [summary],
        agents: [agentLine],
        installation: { agents: 0, people: 1, requests: 0 },
        publicUrl: 'http://localhost:8080',
        isAdmin: true,
      },
    }),
  requests: () =>
    RequestsPage({
      shell,
      rows: [summary],
      state: null,
      states: ['pending'],
      next: '/requests?cursor=x',
    }),
  'a request to decide': () =>
    RequestPage({ shell, view: requestIn({ kind: 'may', inSteadOf: HOSTILE }), refused: null }),
  'a request to sign': () =>
    RequestPage({ shell, view: requestIn({ kind: 'may', signs: true }), refused: null }),
  'a request after a refused vote': () =>
    RequestPage({
      shell,
      view: requestIn({ kind: 'may_not', title: 'No', says: HOSTILE }),
      refused: { code: 'self_approval', says: HOSTILE, advice: HOSTILE, reason: HOSTILE },
    }),
  'a request of which less is approved': () =>
    RequestPage({
      shell,
      view: requestIn({ kind: 'may' }),
      refused: null,
      draft: {
        narrow: '{"ttl_seconds":60}',
        changes: [{ label: HOSTILE, before: HOSTILE, after: HOSTILE }],
        reason: '<b>',
      },
    }),
  'a denied request': () =>
    RequestPage({ shell, view: requestIn({ kind: 'over' }, decided), refused: null }),
  agents: () => AgentsPage({ shell, rows: [agentLine], next: null, registration, said }),
  'an agent': () =>
    AgentPage({
      shell,
      said,
      view: {
        ...agentLine,
        purpose: HOSTILE,
        spiffeId: 'spiffe://example/agent/orders-bot',
        retiring: false,
        createdAt: AT,
        rotationDueAt: LATER,
        reviewDueAt: null,
        request: 'req_1',
        keys: ['key_1', 'key_2'].map((id) => ({
          id,
          thumbprint: 't',
          state: 'active',
          createdAt: AT,
          retireAt: LATER,
        })),
        joinTokens: [{ id: 'jtk_1', request: 'req_1', createdAt: AT, expiresAt: LATER }],
        orphanedAt: AT,
        tasks: [
          { id: 'tsk_1', purpose: HOSTILE, state: 'running', createdAt: AT, deadlineAt: LATER },
        ],
        credentials: [lease],
        requests: [summary],
        isAdmin: true,
        audits: true,
      },
    }),
  'a task': () =>
    TaskPage({
      shell,
      said,
      view: {
        id: 'tsk_1',
        purpose: HOSTILE,
        state: 'running',
        reason: HOSTILE,
        agent: { id: 'agt_1', name: 'orders-bot' },
        trigger: HOSTILE,
        proof: 'claimed',
        policyVersion: DIGEST,
        deadlineAt: LATER,
        createdAt: AT,
        endedAt: null,
        alive: 1,
        credentials: [lease, { ...lease, id: 'crd_2' }, failing],
        requests: [summary],
        mayRevoke: true,
        forceCloseAttempts: 3,
        isAdmin: true,
        audits: true,
      },
    }),
  controls: () =>
    ControlsPage({
      shell,
      audits: true,
      rows: [{ id: 'orders-write', route: 'r', title: HOSTILE, verdict }],
    }),
  'a verdict': () =>
    VerdictPage({ shell, title: HOSTILE, verdict, asked: { from: HOSTILE, to: '' } }),
  ...reviewPages(shell, HOSTILE, said),
  stopping: () =>
    StoppingPage({
      shell,
      said,
      view: {
        stop: { id: 'stp_1', reason: HOSTILE, createdAt: AT, by: HOSTILE },
        failing: [failing],
        forced: [{ ...failing, id: 'crd_4', state: 'force_closed', seenGone: false }],
        orders: [
          {
            id: 'rvk_1',
            by: 'team',
            of: HOSTILE,
            because: 'kill',
            reason: HOSTILE,
            createdAt: AT,
            credentials: 3,
            alive: 1,
            failing: 1,
            notSeenGone: 1,
            doneAt: null,
          },
        ],
        sweeps: [
          { target: 'sample', at: AT, outcome: 'compared', found: 3, orphans: 1, vanished: 1 },
        ],
        values: { scope: 'team', id: HOSTILE },
        attempts: 3,
        isAdmin: true,
      },
    }),
  'the log': () =>
    LogPage({
      shell,
      events: [event],
      filter: { type: '', task: HOSTILE, agent: '', request: '', control: '' },
      types: ['vote.cast'],
      next: '/log?cursor=x',
      head: { size: 1, signedAt: AT, checkpoint: 'note', verifierKey: 'key' },
    }),
  'an event': () => EventPage({ shell, event, leaf: '{}' }),
  'the policy': () =>
    PolicyPage({
      shell,
      view: {
        version: DIGEST,
        routes: [],
        roles: [],
        upstreams: [ticketsIn(HOSTILE)],
        rules: [],
        files: [{ name: 'main.cedar', text: HOSTILE }],
      },
    }),
  'the reference': () => ReferencePage({ shell: stranger, reference }),
  ...discoveryPages(shell, HOSTILE, AT, said),
  ...emergencyPages(shell, HOSTILE, LATER, said),
  ...leakPages(shell, HOSTILE, AT, said),
  ...secretPages(shell, HOSTILE, AT),
  'a problem': () => ProblemPage({ shell, status: 404, says: HOSTILE, requestId: 'id' }),
};
