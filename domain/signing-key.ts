// The life of a key of ours that signs: published before it signs, and still published after it stopped.

import { addSeconds } from './instant.ts';

/** What a key signs. Each use has keys of its own, turned separately. */
export const KEY_USES = ['tokens', 'x509'] as const;
export type KeyUse = (typeof KEY_USES)[number];

/** Where the private part is: sealed in our own table, or in a key service that never gives it out. */
export const KEY_DRIVERS = ['sealed', 'transit'] as const;
export type KeyDriverName = (typeof KEY_DRIVERS)[number];

/** `published → active → retiring → retired`; an emergency goes from any of them to `retired`. */
export const SIGNING_KEY_STATES = ['published', 'active', 'retiring', 'retired'] as const;
export type SigningKeyState = (typeof SIGNING_KEY_STATES)[number];

/** Tokens and certificates are ES256; Ed25519 is for what is no JOSE token. */
export type SigningAlgorithm = 'ES256' | 'EdDSA';

/** The public part as others read it; member by member, so that nothing else can come along. */
export type PublicJwk =
  | { kty: 'EC'; crv: 'P-256'; x: string; y: string }
  | { kty: 'OKP'; crv: 'Ed25519'; x: string };

/** As much of a key as says when it is its turn. */
export interface KeyTurn {
  kid: string;
  state: SigningKeyState;
  /** When it began to sign, or is to begin. */
  activatesAt: string;
  /** When the last token it signed is over; null while it signs. */
  retiresAt: string | null;
}

export interface KeySchedule {
  /** How long a key signs. */
  ageSeconds: number;
  /** How long a key is published before it signs: longer than any verifier keeps the keys it fetched. */
  aheadSeconds: number;
  /** How long a key stays published after it stopped: longer than any token it signed is good. */
  keepSeconds: number;
}

/** Nothing that a key signs is good for longer than a task may last, which is a day; an hour for clocks and delays. */
export const KEEP_SECONDS = 25 * 3600;

/** How long verifiers may keep the keys they fetched: half of the time by which a new key is published ahead. */
export const cacheSeconds = (aheadSeconds: number): number =>
  Math.max(1, Math.min(300, Math.floor(aheadSeconds / 2)));

export type KeyStep = { step: 'publish' } | { step: 'activate' | 'retire'; kid: string };

/** What is due for the keys of one use at this time. */
export function dueSteps(keys: readonly KeyTurn[], at: string, schedule: KeySchedule): KeyStep[] {
  const steps: KeyStep[] = [];
  const next = keys.find(({ state }) => state === 'published');
  const active = keys.find(({ state }) => state === 'active');
  const publishFrom = schedule.ageSeconds - schedule.aheadSeconds;
  if (!next && active && addSeconds(active.activatesAt, publishFrom) <= at)
    steps.push({ step: 'publish' });
  if (next && next.activatesAt <= at) steps.push({ step: 'activate', kid: next.kid });
  for (const { kid, state, retiresAt } of keys)
    if (state === 'retiring' && retiresAt !== null && retiresAt <= at)
      steps.push({ step: 'retire', kid });
  return steps;
}
