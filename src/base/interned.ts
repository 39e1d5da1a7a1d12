/**
 * The engine's one copy of a text, as it has of texts that are names of properties. A `Map` finds what belongs to it by its
 * address; for any other copy the engine first has to search its table of names, which on the request's path is waited for.
 */
export function interned(text: string): string {
  const holder = Object.create(null) as Record<string, true>;
  holder[text] = true;
  for (const name in holder) return name;
  return text;
}
