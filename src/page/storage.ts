/** What outlives a reload, as far as the browser allows it. */
import { type Kept, keep, restore } from "./step.js";

const KEPT = "gpt2-page";
const KEY = "gpt2-key";

/** Uses the browser's storage, which may be forbidden or full. */
function perhaps<Value>(act: () => Value): Value | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** What this tab stored or, in a new tab, what the last one did. */
export function readKept(): Kept | undefined {
  return restore(
    perhaps(() => sessionStorage.getItem(KEPT)) ?? perhaps(() => localStorage.getItem(KEPT)) ?? null,
  );
}

/** @returns false if the browser stores nothing */
export function writeKept(kept: Kept): boolean {
  const text = keep(kept);
  const isKept = [() => sessionStorage.setItem(KEPT, text), () => localStorage.setItem(KEPT, text)].map(
    (act) =>
      perhaps(() => {
        act();
        return true;
      }),
  );
  return isKept.some(Boolean);
}

/** The server's key, stored as long as the tab is open. */
export const readKey = (): string => perhaps(() => sessionStorage.getItem(KEY)) ?? "";
export const writeKey = (key: string): void => perhaps(() => sessionStorage.setItem(KEY, key));
