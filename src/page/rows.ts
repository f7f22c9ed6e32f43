/** A token and its probability as a row of a list. */
import { percent } from "../probability-scale.js";
import { make } from "./dom.js";
import type { Alternative } from "./pieces.js";

/** A token's text with its white space made visible. */
export function visible(text: string): string {
  return text.replace(/ /g, "␣").replace(/\n/g, "↵").replace(/\t/g, "⇥");
}

/** A token's text for a screen reader. */
export function spoken(text: string): string {
  if (/^ *$/.test(text)) return text.length === 1 ? "a space" : `${text.length} spaces`;
  if (/^\n+$/.test(text)) return text.length === 1 ? "a line break" : `${text.length} line breaks`;
  return text.trim();
}

/**
 * The contents of a row.
 * @param isOwn whether it is the token in the text
 */
export function rowOf({ text, logprob, isText }: Alternative, isOwn: boolean): Node[] {
  const probability = Math.exp(logprob);
  const bar = make("span", { class: "share" });
  bar.style.width = `${Math.max(1, probability * 100)}%`;
  const number = make("span", { class: "number" }, percent(probability));
  if (isOwn) number.append(make("span", { class: "unseen" }, ", the one in the text"));
  const word = make("span", { class: "word" });
  if (isText) {
    word.append(
      make("span", { "aria-hidden": "true" }, visible(text)),
      make("span", { class: "unseen" }, `${spoken(text)}, `),
    );
  } else word.append(text.startsWith("<|") ? "(end of the text)" : "(part of a character)");
  return [word, number, make("span", { class: "track" }, bar)];
}
