// Which controls stand in front of a role, read from the scope of each policy and not from its wording.
import {
  policyToJson,
  type ActionConstraint,
  type EntityUidJson,
  type ResourceConstraint,
} from '@cedar-policy/cedar-wasm/nodejs';
import type { PolicyBundle } from './policy-bundle.ts';

const ACTION = 'credential:request';

/**
 * The controls of every rule that could match a request for this role. Only a scope that rules the role out
 * does: conditions can say anything, so they narrow nothing.
 */
export function controlsOver(bundle: PolicyBundle, role: string): string[] {
  const controls = [...bundle.rules.values()].flatMap(({ id, control, mode }) => {
    if (control === null || mode !== 'hold') return [];
    const parsed = policyToJson(bundle.cedar[id] ?? '');
    if (parsed.type === 'failure') return [control];
    const { action, resource } = parsed.json;
    return couldAct(action) && couldConcern(resource, role) ? [control] : [];
  });
  return [...new Set(controls)];
}

const identity = (entity: EntityUidJson): { type: string; id: string } =>
  '__entity' in entity ? entity.__entity : entity;

const isAction = (entity: EntityUidJson): boolean => identity(entity).id === ACTION;

function couldAct(action: ActionConstraint): boolean {
  if (action.op === 'All') return true;
  if (action.op === '==') return !('entity' in action) || isAction(action.entity);
  const entities = 'entities' in action ? action.entities : [action.entity];
  // Our actions are `noun:verb`; what is named otherwise is a group that could hold any of them.
  return entities.some((entity) => isAction(entity) || !identity(entity).id.includes(':'));
}

function couldConcern(resource: ResourceConstraint, role: string): boolean {
  if (resource.op === 'All' || resource.op === 'in') return true;
  if (resource.op === 'is') return resource.entity_type === 'Role';
  if (!('entity' in resource)) return true;
  const { type, id } = identity(resource.entity);
  return type === 'Role' && id === role;
}
