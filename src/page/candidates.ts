/** Continuations side by side, to choose from. */
import { byId, make } from "./dom.js";
import type { Draft } from "./draft.js";
import { endOf } from "./draft.js";
import { tokenSpan } from "./editor.js";
import type { Candidate } from "./step.js";

/** A candidate on the page. */
interface Column {
  readonly element: HTMLElement;
  readonly text: HTMLElement;
  readonly seed: HTMLElement;
  readonly take: HTMLButtonElement;
}

let columns: Column[] = [];
let shown: readonly Candidate[] = [];

/** @param onTake called when one is chosen */
export function showCandidates(
  candidates: readonly Candidate[] | undefined,
  before: Draft,
  isBusy: boolean,
  onTake: (candidate: Candidate) => void,
): void {
  const section = byId("choices");
  section.hidden = candidates === undefined;
  if (candidates === undefined) {
    section.replaceChildren();
    columns = [];
    shown = [];
    return;
  }
  if (columns.length !== candidates.length) {
    columns = candidates.map((_, i) => column(i, () => onTake(shown[i])));
    section.replaceChildren(...columns.map(({ element }) => element));
    section.className = `columns-${candidates.length}`;
  }
  const last = shown;
  shown = candidates;
  candidates.forEach((candidate, i) => {
    const { element, text, seed, take } = columns[i];
    take.disabled = isBusy;
    element.setAttribute("aria-label", `Candidate ${i + 1} of ${candidates.length}, seed ${candidate.seed}`);
    take.textContent = `Take ${i + 1}`;
    seed.textContent = `seed ${candidate.seed}`;
    if (candidate.draft !== last[i]?.draft) text.replaceChildren(...written(candidate.draft, before));
  });
}

function column(index: number, onTake: () => void): Column {
  const text = make("p", { class: "continuation" });
  const take = make("button", { type: "button", "aria-keyshortcuts": String(index + 1) });
  take.addEventListener("click", onTake);
  const seed = make("span");
  return { element: make("article", {}, text, make("footer", {}, take, seed)), text, seed, take };
}

/** What was added to a draft, coloured. */
function written(draft: Draft, before: Draft): Node[] {
  const nodes: Node[] = [];
  let done = before.text.length;
  for (const token of draft.tokens.slice(before.tokens.length)) {
    if (token.start > done) nodes.push(document.createTextNode(draft.text.slice(done, token.start)));
    nodes.push(tokenSpan(token));
    done = endOf(token);
  }
  nodes.push(document.createTextNode(draft.text.slice(done)));
  return nodes;
}
