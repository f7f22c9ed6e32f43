/** So many names fit a line. */
const NAMED = 3;

/** The first names of a list, and how many more there are. */
export function summary(names: readonly string[]): string {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** "1 row", "2 rows". */
export function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
