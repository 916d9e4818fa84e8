// What a Kubernetes cluster has, as its API server lists it: in pages, whole or only what is written about each object.
import type { JsonObject } from '../../domain/json.ts';

export interface KubernetesDirectory {
  /** Service accounts of the namespace, as objects. */
  serviceaccounts: JsonObject[];
  /** Secrets beside those of leases. */
  secrets: JsonObject[];
  rolebindings: JsonObject[];
  clusterrolebindings: JsonObject[];
}

export const emptyDirectory = (): KubernetesDirectory => ({
  serviceaccounts: [],
  secrets: [],
  rolebindings: [],
  clusterrolebindings: [],
});

const RBAC = '/apis/rbac.authorization.k8s.io/v1/';
/** A client that needs more than this of an object asks for too much. */
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
const PAGE = 2;

/** The list that a path means, and its name; null where it is none of these. */
export function listAt(
  directory: KubernetesDirectory,
  url: URL,
  namespace: string,
): { resource: string; items: JsonObject[] } | null {
  const type = /^type=(.+)$/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1];
  switch (url.pathname) {
    case `/api/v1/namespaces/${namespace}/serviceaccounts`:
      return { resource: 'serviceaccounts', items: directory.serviceaccounts };
    case `/api/v1/namespaces/${namespace}/secrets`:
      // Without it, the Secrets of leases are meant.
      return type === undefined
        ? null
        : { resource: 'secrets', items: directory.secrets.filter((each) => each['type'] === type) };
    case `${RBAC}namespaces/${namespace}/rolebindings`:
      return { resource: 'rolebindings', items: directory.rolebindings };
    case `${RBAC}clusterrolebindings`:
      return { resource: 'clusterrolebindings', items: directory.clusterrolebindings };
    default:
      return null;
  }
}

/** One page of it, two at a time, so that whoever does not ask for the rest does not get it. */
export function pageOf(items: readonly JsonObject[], url: URL, accept: string): JsonObject {
  const start = Number(url.searchParams.get('continue') || 0);
  const isMore = start + PAGE < items.length;
  const shown = items.slice(start, start + PAGE);
  return {
    kind: accept === METADATA_ONLY ? 'PartialObjectMetadataList' : 'List',
    metadata: isMore ? { continue: String(start + PAGE) } : {},
    items:
      accept === METADATA_ONLY
        ? shown.map((each) => ({ metadata: each['metadata'] ?? {} }))
        : [...shown],
  };
}
