/**
 * The text field, and the colours behind it. The text is in a plain textarea, which loses nothing whatever is done to it,
 * and which screen readers understand. The mirror behind it has the same words in the same places, invisible but coloured.
 */
import { levelOf } from "../probability-scale.js";
import { byId, make } from "./dom.js";
import { type Draft, EMPTY, endOf, type Token, tokenAt } from "./draft.js";

/** A stretch of the mirror: a token, or text between two. */
interface Stretch {
  readonly text: string;
  readonly token?: Token;
}

function stretches({ text, tokens }: Draft): Stretch[] {
  const all: Stretch[] = [];
  let done = 0;
  for (const token of tokens) {
    if (token.start > done) all.push({ text: text.slice(done, token.start) });
    all.push({ text: token.text, token });
    done = endOf(token);
  }
  if (done < text.length) all.push({ text: text.slice(done) });
  return all;
}

/** A token in its colour. */
export function tokenSpan({ text, logprob }: { text: string; logprob: number }): HTMLSpanElement {
  return make("span", { class: `token level-${levelOf(Math.exp(logprob))}` }, text);
}

/** The text field over its mirror. */
export class Editor {
  private readonly field = byId<HTMLTextAreaElement>("text");
  private readonly mirror = byId("mirror");
  private draft: Draft = EMPTY;
  private shown: Stretch[] = [];

  /** @param onEdit called with the field's text after each edit */
  constructor(onEdit: (text: string) => void) {
    this.field.addEventListener("input", () => onEdit(this.field.value));
    this.mirror.append("\u200b"); // gives an empty last line its height
  }

  get element(): HTMLTextAreaElement {
    return this.field;
  }

  /** @param isLocked whether the text cannot be edited now */
  show(draft: Draft, isLocked: boolean): void {
    const followsEnd = isLocked && this.endIsInView();
    this.field.readOnly = isLocked;
    if (this.field.value !== draft.text) {
      this.field.value = draft.text;
      this.field.setSelectionRange(draft.text.length, draft.text.length);
    }
    if (draft !== this.draft) this.reflect(draft);
    this.draft = draft;
    if (followsEnd && !this.endIsInView()) {
      const bar = document.querySelector(".bar")?.getBoundingClientRect().height ?? 0;
      window.scrollBy(0, this.field.getBoundingClientRect().bottom + bar - window.innerHeight);
    }
  }

  /** The token at the cursor; -1 if none. */
  atCursor(): number {
    return tokenAt(this.draft, this.field.selectionStart);
  }

  /** The token at a point of the window; -1 if none. */
  atPoint(x: number, y: number): number {
    const under = document.elementsFromPoint(x, y);
    const span = under.find((element) => element.classList.contains("token"));
    if (span === undefined || !this.mirror.contains(span) || !under.includes(this.field)) return -1;
    return [...this.mirror.getElementsByClassName("token")].indexOf(span);
  }

  /** The element of a token. */
  spanOf(index: number): Element | undefined {
    return this.mirror.getElementsByClassName("token")[index];
  }

  /** Updates the mirror from the first stretch that differs. */
  private reflect(draft: Draft): void {
    const wanted = stretches(draft);
    let same = 0;
    while (
      same < wanted.length &&
      same < this.shown.length &&
      wanted[same].token === this.shown[same].token &&
      wanted[same].text === this.shown[same].text
    )
      same++;
    const last = this.mirror.lastChild;
    while (this.mirror.childNodes.length - 1 > same) this.mirror.childNodes[same].remove();
    for (const { text, token } of wanted.slice(same)) {
      this.mirror.insertBefore(token ? tokenSpan(token) : document.createTextNode(text), last);
    }
    this.shown = wanted;
  }

  private endIsInView(): boolean {
    const bar = document.querySelector(".bar")?.getBoundingClientRect().top ?? window.innerHeight;
    return this.field.getBoundingClientRect().bottom <= Math.max(bar, window.innerHeight - 1) + 40;
  }
}
