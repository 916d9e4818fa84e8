// What the Cedar schema of a bundle declares: which types have which attributes, and which actions apply to whom.
import { schemaToJsonWithResolvedTypes } from '@cedar-policy/cedar-wasm/nodejs';
import type { PolicyBundle } from './bundle.ts';

/** One entity type. */
interface DeclaredType {
  attributes: ReadonlySet<string>;
  /** All ids there are, of a type that lists them. */
  ids: readonly string[] | null;
}

/** One action: who it is for, what it is done to, and what it is told besides. */
interface DeclaredAction {
  principals: readonly string[];
  resources: readonly string[];
  context: ReadonlySet<string>;
}

interface BundleSchema {
  types: ReadonlyMap<string, DeclaredType>;
  /** Actions outside any namespace: others cannot be named in a question. */
  actions: ReadonlyMap<string, DeclaredAction>;
}

/** A bundle never changes, and lives as long as it is cached. */
const known = new WeakMap<PolicyBundle, BundleSchema>();

/** The schema of a bundle, read once. */
export function schemaOf(bundle: PolicyBundle): BundleSchema {
  const found = known.get(bundle) ?? readSchema(bundle.schema);
  known.set(bundle, found);
  return found;
}

/** What the engine's own reading of a schema has in it, as far as it is used here. */
interface ReadNamespace {
  commonTypes?: Record<string, ReadType>;
  entityTypes?: Record<string, { shape?: ReadType; enum?: string[] }>;
  actions?: Record<
    string,
    {
      appliesTo?: {
        principalTypes?: string[];
        resourceTypes?: string[];
        context?: ReadType;
      } | null;
    }
  >;
}

interface ReadType {
  type: string;
  attributes?: Record<string, unknown>;
}

function readSchema(schema: string): BundleSchema {
  const answer = schemaToJsonWithResolvedTypes(schema);
  // Parsed when the bundle was, with the same engine.
  if (answer.type === 'failure') throw new Error(answer.errors[0]?.message ?? 'no schema');
  const namespaces = asNamespaces(answer.json);
  const common = new Map<string, ReadType>();
  for (const [space, { commonTypes = {} }] of Object.entries(namespaces))
    for (const [name, type] of Object.entries(commonTypes)) common.set(inside(space, name), type);
  const members = (type: ReadType | undefined): ReadonlySet<string> => {
    const resolved = type && (common.get(type.type) ?? type);
    return new Set(Object.keys(resolved?.attributes ?? {}));
  };
  const types = new Map<string, DeclaredType>();
  for (const [space, { entityTypes = {} }] of Object.entries(namespaces))
    for (const [name, { shape, enum: ids = null }] of Object.entries(entityTypes))
      types.set(inside(space, name), { attributes: members(shape), ids });
  const actions = new Map<string, DeclaredAction>();
  for (const [name, { appliesTo }] of Object.entries(namespaces['']?.actions ?? {}))
    actions.set(name, {
      principals: appliesTo?.principalTypes ?? [],
      resources: appliesTo?.resourceTypes ?? [],
      context: members(appliesTo?.context),
    });
  return { types, actions };
}

/** The engine's own JSON form of a schema: all of these members are optional in it. */
const asNamespaces = (json: unknown): Record<string, ReadNamespace> =>
  json as Record<string, ReadNamespace>;

const inside = (space: string, name: string): string => (space === '' ? name : `${space}::${name}`);
