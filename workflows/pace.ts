// How often something that cannot be done now is tried again.

/** Often in the first hour; then so rarely that a week of trying stays a history that Temporal keeps. */
export const pauseSeconds = (tries: number): number => Math.min(2 ** tries, tries < 120 ? 30 : 300);
