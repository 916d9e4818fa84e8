// The log and the policy, to read.
import { accessOf } from '../../commands/access/kinds.ts';
import { readActiveBundle } from '../../commands/policy/policies.ts';
import { readEvents, type EventRead } from '../../commands/record/events.ts';
import { newestCheckpoint } from '../../commands/record/log.ts';
import { EVENTS } from '../../domain/event-types.ts';
import { eventName } from '../../domain/event.ts';
import { canonicalJson, type JsonObject, type JsonValue } from '../../domain/json.ts';
import { formatVerifierKey } from '../../domain/note.ts';
import { Refusal } from '../../domain/refusal.ts';
import { seatsInWords } from '../../domain/seats.ts';
import { EventPage, LogPage, type EventView, type Head, type LogFilter } from '../../web/log.tsx';
import { PolicyPage } from '../../web/policy.tsx';
import { pageOf, readCursor } from '../cursor.ts';
import { fullType } from '../events.ts';
import { page, type ConsoleDeps, type ConsoleRoute } from './console.ts';
import { barredWords } from './request-view.ts';

const PAGE_SIZE = 50;

const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Values as people read them; the leaf on the page of the event has them as they are. */
function textOf(value: JsonValue | undefined): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textOf).join(', ') || 'none';
  if (isObject(value) && typeof value['type'] === 'string' && typeof value['id'] === 'string')
    return `${value['type']} ${value['id']}`;
  return value === null || value === undefined ? 'none' : canonicalJson(value);
}

const textual = (value: JsonValue | undefined): string | null =>
  typeof value === 'string' ? value : null;

/** An event as the pages show it. */
function viewOf({ id, event, logIndex, disclosed }: EventRead): EventView {
  const data = isObject(event['data']) ? event['data'] : {};
  const detail = isObject(data['detail']) ? data['detail'] : {};
  const hidden = isObject(data['private']) ? Object.keys(data['private']) : [];
  const type = textOf(event['type']);
  const link = (label: string, path: string, of: JsonValue | undefined) => {
    const to = textual(of);
    return to === null ? [] : [{ label, href: `${path}${encodeURIComponent(to)}` }];
  };
  return {
    id,
    name: eventName(type) ?? type,
    time: textOf(event['time']),
    subject: textOf(event['subject']),
    decision: textual(data['decision']),
    logIndex,
    links: [
      ...link('request', '/requests/', data['request']),
      ...link('task', '/tasks/', data['task']),
      ...link('agent', '/agents/', data['agent']),
      ...link(`control ${textual(data['control']) ?? ''}`, '/controls/', data['control']),
    ],
    detail: Object.entries(detail).map(([name, value]) => ({ name, text: textOf(value) })),
    disclosed: Object.entries(disclosed)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => ({ name, text: textOf(value) })),
    committed: hidden.filter((name) => !Object.hasOwn(disclosed, name)),
  };
}

async function headOf(deps: ConsoleDeps): Promise<Head | null> {
  const head = await newestCheckpoint(deps.db.query);
  return (
    head && {
      size: head.size,
      signedAt: head.signedAt,
      checkpoint: head.checkpoint,
      verifierKey: formatVerifierKey(deps.installation.logOrigin, deps.keys.log.publicKey),
    }
  );
}

const FILTERS = ['type', 'task', 'agent', 'request', 'control'] as const;

const list: ConsoleRoute = {
  method: 'get',
  path: '/log',
  who: 'auditor',
  handle: async ({ shell, query }, deps) => {
    const asked = new Map(FILTERS.map((name) => [name, (query.get(name) ?? '').trim()] as const));
    const given = (name: (typeof FILTERS)[number]): string => asked.get(name) ?? '';
    const filter: LogFilter = {
      type: given('type'),
      task: given('task'),
      agent: given('agent'),
      request: given('request'),
      control: given('control'),
    };
    const set = Object.fromEntries(Object.entries(filter).filter(([, text]) => text !== ''));
    const name = `log/${JSON.stringify(set)}`;
    const found = await readEvents(
      deps.db.query,
      {
        ...set,
        ...(filter.type !== '' && { type: fullType(filter.type) }),
        after: readCursor(deps.keys.cursors, name, query.get('cursor') ?? undefined),
        newestFirst: true,
        limit: PAGE_SIZE + 1,
      },
      true,
    );
    const shown = pageOf(found, PAGE_SIZE, (row) => row.id, deps.keys.cursors, name);
    const next = new URLSearchParams({ ...set, cursor: shown.next ?? '' });
    return page(
      LogPage({
        shell,
        events: shown.rows.map(viewOf),
        filter,
        types: Object.keys(EVENTS),
        next: shown.next === null ? null : `/log?${next.toString()}`,
        head: await headOf(deps),
      }),
    );
  },
};

const show: ConsoleRoute = {
  method: 'get',
  path: '/log/{event}',
  who: 'auditor',
  handle: async ({ shell, params }, deps) => {
    const [found] = await readEvents(
      deps.db.query,
      { id: params['event'] ?? '', after: null, limit: 1 },
      true,
    );
    if (!found) throw new Refusal('not_found', 'The log has no such event.');
    return page(
      EventPage({ shell, event: viewOf(found), leaf: JSON.stringify(found.event, null, 2) }),
    );
  },
};

const policy: ConsoleRoute = {
  method: 'get',
  path: '/policy',
  who: 'person',
  handle: async ({ shell }, deps) => {
    const bundle = await readActiveBundle(deps.db.query, deps.policies);
    return page(
      PolicyPage({
        shell,
        view: {
          version: bundle.version,
          routes: [...bundle.routes.values()].map(({ name, rule }) => ({
            name,
            title: rule.title,
            seats: seatsInWords(rule),
            expirySeconds: rule.expiry_seconds,
            validSeconds: rule.valid_seconds,
            strength: rule.strength,
            barred: barredWords(rule).join(', '),
          })),
          roles: [...bundle.roles.entries()].map(([name, role]) => ({
            name,
            title: role.title,
            gives: accessOf(role).gives(role),
            dataClass: role.data_class,
            maxSeconds: role.ttl_seconds_max,
            reason: role.reason,
          })),
          upstreams: [...bundle.upstreams.entries()].map(([name, upstream]) => ({
            name,
            title: upstream.title,
            base: upstream.base,
            dataClass: upstream.data_class,
            calls: Object.entries(upstream.calls).map(
              ([call, { effect }]) => `${call} (${effect})`,
            ),
          })),
          rules: [...bundle.rules.values()].map(({ id, effect, route, control, mode }) => ({
            id,
            effect,
            route,
            control,
            mode,
          })),
          files: Object.entries(bundle.files)
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, text]) => ({ name, text })),
        },
      }),
    );
  },
};

export const logPages = [list, show, policy];
