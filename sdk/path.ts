// Paths with what callers put into them made safe: an id is always one segment.

/** path`/v1/agents/${id}` */
export const path = (texts: TemplateStringsArray, ...ids: string[]): string =>
  texts.reduce((whole, text, at) => `${whole}${encodeURIComponent(ids[at - 1] ?? '')}${text}`);
