export * from './agents.ts';
export * from './credentials.ts';
export * from './log.ts';
export * from './operation.ts';
export * from './people.ts';
export * from './policy.ts';
export * from './requests.ts';
export * from './reviews.ts';
