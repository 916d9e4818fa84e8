// Everything that enforcement points of others call.
import { discoveryRoute } from './discovery.ts';
import { evaluationRoutes } from './evaluate.ts';
import { accessRequestRoutes } from './requests.ts';
import { searchRoutes } from './search.ts';

export const accessRoutes = [
  ...evaluationRoutes,
  ...searchRoutes,
  ...accessRequestRoutes,
  discoveryRoute,
];
