// Reads elements out of the plain XML that AWS answers with. Not a parser: elements that are looked for have no attributes.

const ENTITIES: Record<string, string> = {
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
  '&amp;': '&',
};

/** The text of the first element of this name, or null. */
export function elementOf(xml: string, name: string): string | null {
  const start = xml.indexOf(`<${name}>`);
  const end = xml.indexOf(`</${name}>`, start);
  if (start < 0 || end < 0) return null;
  const text = xml.slice(start + name.length + 2, end).trim();
  return text
    .replaceAll(/&#(x[0-9a-fA-F]{1,6}|\d{1,7});/g, (_whole, code: string) =>
      String.fromCodePoint(Number(code.startsWith('x') ? `0${code}` : code)),
    )
    .replaceAll(/&(lt|gt|quot|apos|amp);/g, (entity) => ENTITIES[entity] ?? entity);
}

/** What is inside each element of this name, in their order; those within one of them are left to it. */
export function elementsOf(xml: string, name: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (const { 0: tag, index } of xml.matchAll(new RegExp(`</?${name}>`, 'g'))) {
    const opens = !tag.startsWith('</');
    if (opens && depth === 0) start = index + tag.length;
    depth += opens ? 1 : -1;
    // An end without a beginning: what follows cannot be told apart.
    if (depth < 0) return found;
    if (!opens && depth === 0) found.push(xml.slice(start, index));
  }
  return found;
}
