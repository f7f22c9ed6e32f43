/** A prompt and everything that decides its continuation, in a link's fragment, which browsers do not send. */
import { byId } from "./dom.js";
import { readSettings, SETTING_NAMES, type Settings } from "./settings.js";

/** What a link holds. */
export interface Linked {
  readonly prompt: string;
  readonly settings: Settings;
  /** The model that wrote it; "" if unknown. */
  readonly model: string;
}

/** The fragment of a link, `#` included. */
export function toFragment({ prompt, settings, model }: Linked): string {
  const words = new URLSearchParams({ prompt, seed: String(settings.seed) });
  for (const name of SETTING_NAMES) words.set(name, String(settings[name]));
  if (settings.stop) words.set("stop", settings.stop);
  if (model) words.set("model", model);
  return `#${words}`;
}

/** @returns undefined if the fragment is not such a link */
export function fromFragment(fragment: string): Linked | undefined {
  const words = new URLSearchParams(fragment.replace(/^#/, ""));
  const prompt = words.get("prompt");
  if (prompt === null) return undefined;
  const values = [...words].map(([name, value]) => [name, name === "stop" ? value : numberOf(value)]);
  return { prompt, settings: readSettings(Object.fromEntries(values)), model: words.get("model") ?? "" };
}

const numberOf = (text: string): number => (text.trim() === "" ? Number.NaN : Number(text));

/**
 * Copies a link, or shows it where there is no clipboard: browsers offer it only to https and localhost.
 * @returns whether it was copied
 */
export async function copyOrShow(link: string): Promise<boolean> {
  const line = byId("link-line");
  try {
    await navigator.clipboard.writeText(link);
    line.hidden = true;
    return true;
  } catch {
    line.hidden = false;
    const field = byId<HTMLInputElement>("link-text");
    field.value = link;
    field.focus();
    field.select();
    return false;
  }
}
