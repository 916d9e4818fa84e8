// Everything that an approved action could become by changing as little of it as there is to change.
import type { JsonObject, JsonValue } from '../../domain/json.ts';

/** Every copy of a value that differs in one place: another character, another number, one member more or one less. */
export function mutantsOf(value: JsonObject): JsonObject[] {
  const members = Object.entries(value).flatMap(([name, member]): JsonObject[] => {
    const { [name]: _gone, ...less } = value;
    return [
      less,
      { ...less, [`${name}_`]: member },
      ...changed(member).map((other) => ({ ...value, [name]: other })),
    ];
  });
  return [...members, { ...value, surplus: null }];
}

function changed(value: JsonValue): JsonValue[] {
  if (typeof value === 'string')
    return [`${value} `, `${value.slice(0, -1)}\u00e9`, value.slice(1) || 'x'];
  if (typeof value === 'number') return [value + 1, String(value)];
  if (typeof value === 'boolean') return [!value, null];
  if (value === null) return ['', false];
  if (!Array.isArray(value)) return [null, ...mutantsOf(value)];
  const each = value.flatMap((member, at) =>
    changed(member).map((other) => value.map((same, place) => (place === at ? other : same))),
  );
  return [
    ...each,
    [...value, ...(value.length > 0 ? value.slice(-1) : ['x'])],
    value.slice(1),
  ].filter((other) => JSON.stringify(other) !== JSON.stringify(value));
}
