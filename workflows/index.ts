export { agent } from './agent.ts';
export { discovery } from './discovery.ts';
export { request } from './request.ts';
export { review } from './review.ts';
export { target } from './target.ts';
export { task } from './task.ts';
