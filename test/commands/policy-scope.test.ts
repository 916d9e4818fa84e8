import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { controlsOver } from '../../commands/policy/scope.ts';

let files: Record<string, string>;

beforeAll(async () => {
  const folder = path.join(PACKAGE_ROOT, 'policy');
  const names = (await readdir(folder)).filter((name) =>
    /\.(?:cedar|cedarschema|yaml)$/.test(name),
  );
  const read = names.map(async (name): Promise<[string, string]> => [
    name,
    await readFile(path.join(folder, name), 'utf8'),
  ]);
  files = Object.fromEntries(await Promise.all(read));
});

/** The controls over orders-write and orders-readonly when one rule with this scope is all there is. */
const over = (scope: string, conditions = ''): [string[], string[]] => {
  const cedar = `@id("one")\n@approval("orders-write")\n@control("guarded")\npermit (${scope}) ${conditions};`;
  const bundle = parsePolicyBundle({ ...files, 'main.cedar': cedar, 'tests.yaml': '[]' });
  return [controlsOver(bundle, 'orders-write'), controlsOver(bundle, 'orders-readonly')];
};

const REQUEST = 'action == Action::"credential:request"';
const both = [['guarded'], ['guarded']];
const none = [[], []];

describe('the controls that stand in front of a role', () => {
  it('are those whose scope names it', () => {
    expect(over(`principal is Agent, ${REQUEST}, resource == Role::"orders-write"`)).toEqual([
      ['guarded'],
      [],
    ]);
  });

  it('are all whose scope does not rule it out, whatever their conditions say', () => {
    const unlike = 'when { resource != Role::"orders-readonly" }';
    expect(over(`principal is Agent, ${REQUEST}, resource`, unlike)).toEqual(both);
    expect(over(`principal is Agent, ${REQUEST}, resource is Role`, unlike)).toEqual(both);
    expect(over(`principal is Agent, action, resource is Role`, unlike)).toEqual(both);
    expect(
      over(`principal, action in [Action::"credential:request", Action::"agent:admit"], resource`),
    ).toEqual(both);
  });

  it('are none that speak of other things', () => {
    expect(over('principal, action == Action::"agent:admit", resource')).toEqual(none);
    expect(over('principal, action in [Action::"agent:admit"], resource')).toEqual(none);
    expect(over('principal, action, resource is Policy')).toEqual(none);
  });
});
