// What a bundle says in vain is named with its line, and is no mistake.
import { beforeAll, describe, expect, it } from 'vitest';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { unreachable } from '../../commands/policy/unreachable.ts';
import { formatProblem } from '../../commands/policy/yaml.ts';
import {
  adding,
  all,
  replacing,
  samplePolicy,
  type Change,
  type Files,
} from '../support/policy-files.ts';

let sample: Files;

beforeAll(async () => {
  sample = await samplePolicy();
});

const said = (change: Change): string[] =>
  unreachable(parsePolicyBundle(change(sample))).map(formatProblem);

/** The line of a text in a file that a change made. */
const lineIn = (change: Change, file: string, text: string): number =>
  (change(sample)[file] ?? '').split('\n').findIndex((line) => line.startsWith(text)) + 1;

const NIGHTS = 'night-shift: { title: Nights, groups: [admins] }';
const gate = (scope: string): string =>
  `@id("vain")\n@approval("orders-write")\npermit (principal, ${scope});`;

it('of the sample policy nothing is in vain', () => {
  expect(said((files) => files)).toEqual([]);
});

describe('a route', () => {
  it('that no rule asks is named with its line', () => {
    const change = adding('routes.yaml', NIGHTS);
    const line = lineIn(change, 'routes.yaml', 'night-shift:');
    expect(said(change)).toEqual([
      expect.stringMatching(
        new RegExp(`^routes\\.yaml:${line}: no rule asks the route "night-shift"`),
      ),
    ]);
  });

  it('that is asked only by a rule which holds nobody up guards nothing, either', () => {
    const watched = `@id("watch")\n@approval("night-shift")\n@mode("observe")\npermit (principal is Agent, action == Action::"credential:request", resource == Role::"orders-readonly");`;
    const change = all(adding('routes.yaml', NIGHTS), adding('main.cedar', watched));
    expect(said(change)).toEqual([expect.stringContaining('"night-shift"')]);
    const holds = all(
      adding('routes.yaml', NIGHTS),
      adding('main.cedar', watched.replace('@mode("observe")\n', '')),
    );
    expect(said(holds)).toEqual([]);
  });
});

describe('a gate', () => {
  it.each([
    [
      'a role that is not there',
      'action == Action::"credential:request", resource == Role::"orders-wirte"',
    ],
    [
      'a call of an API that is not there',
      'action == Action::"http:call", resource == Upstream::"tikets"',
    ],
  ])('in front of %s is named with its file and line', (_what, scope) => {
    const change = adding('main.cedar', gate(scope).replace('(principal,', '(principal is Agent,'));
    const line = lineIn(change, 'main.cedar', '@id("vain")');
    expect(said(change)).toEqual([
      expect.stringMatching(new RegExp(`^main\\.cedar:${line}: policy "vain" asks people about`)),
    ]);
  });

  it.each([
    ['any resource', 'action == Action::"credential:request", resource'],
    [
      'several actions of which one is there',
      'action in [Action::"credential:request", Action::"statement:run"], resource == Role::"orders-write"',
    ],
  ])('in front of %s is not', (_what, scope) => {
    expect(
      said(adding('main.cedar', gate(scope).replace('(principal,', '(principal is Agent,'))),
    ).toEqual([]);
  });

  it('is not, where enforcement points of others ask about what only they know', () => {
    const scope = 'action == Action::"credential:request", resource == Role::"theirs"';
    const vain = adding('main.cedar', gate(scope).replace('(principal,', '(principal is Agent,'));
    expect(said(vain)).toHaveLength(1);
    const asked = replacing(
      'roles.yaml',
      /^roles:/m,
      'enforcement_points:\n  - agent: gate\nroles:',
    );
    expect(said(all(vain, asked))).toEqual([]);
  });
});

describe('a role', () => {
  const ROLE = `
  forgotten:
    title: Forgotten
    issuer: jwt
    audience: https://forgotten.example`;

  it('that no permit is about is named with its line', () => {
    const change = adding('roles.yaml', ROLE);
    const line = lineIn(change, 'roles.yaml', '  forgotten:');
    expect(said(change)).toEqual([
      expect.stringMatching(
        new RegExp(`^roles\\.yaml:${line}: nobody can get the role "forgotten"`),
      ),
    ]);
  });

  it('that a forbid always takes away is; one that it takes from some is not', () => {
    const forbid = (when: string): Change =>
      adding(
        'main.cedar',
        `@id("no")\nforbid (principal is Agent, action in [Action::"credential:request", Action::"statement:run"], resource == Role::"orders-readonly")${when};`,
      );
    expect(said(forbid(''))).toEqual([expect.stringContaining('"orders-readonly"')]);
    expect(said(forbid(' when { context.purpose == "x" }'))).toEqual([]);
  });
});
