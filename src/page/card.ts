/** The card of a token: its alternatives, and how likely each was. */
import { byId, make } from "./dom.js";
import type { Draft } from "./draft.js";
import type { Editor } from "./editor.js";
import type { Alternative } from "./pieces.js";
import { rowOf } from "./rows.js";

/** How long the mouse rests on a token before its card opens, and is away before it closes, in milliseconds. */
const OPEN_AFTER = 150;
const CLOSE_AFTER = 250;

/** The card, shown at one token at a time. */
export class Card {
  private readonly element = byId("card");
  private draft: Draft | undefined;
  private index = -1;
  /** Opened by a click or a key: it stays when the mouse leaves. */
  private isPinned = false;
  private timer: number | undefined;

  /**
   * @param current the draft; undefined while its tokens cannot be replaced
   * @param onTake called when an alternative is chosen for a token
   */
  constructor(
    private readonly editor: Editor,
    private readonly current: () => Draft | undefined,
    private readonly onTake: (index: number, alternative: Alternative) => void,
  ) {
    const { element: field } = editor;
    field.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse" || event.buttons !== 0 || this.isPinned) return;
      const index = editor.atPoint(event.clientX, event.clientY);
      if (index === this.index && this.isOpen) this.later(undefined, 0);
      else if (index < 0) this.later(() => this.close(), CLOSE_AFTER);
      else this.later(() => this.open(index, false), this.isOpen ? OPEN_AFTER / 2 : OPEN_AFTER);
    });
    field.addEventListener("pointerleave", () => {
      if (!this.isPinned) this.later(() => this.close(), CLOSE_AFTER);
    });
    field.addEventListener("click", (event) => {
      const isRange = field.selectionStart !== field.selectionEnd;
      const index = isRange ? -1 : editor.atPoint(event.clientX, event.clientY);
      if (index < 0) this.close();
      else this.open(index, true);
    });
    this.element.addEventListener("pointerenter", () => this.later(undefined, 0));
    this.element.addEventListener("pointerleave", () => {
      if (!this.isPinned) this.later(() => this.close(), CLOSE_AFTER);
    });
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.element.addEventListener("focusout", (event) => {
      const to = event.relatedTarget;
      if (to instanceof Node && !this.element.contains(to) && to !== field) this.close();
    });
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  /** Opens the card of the token at the cursor, and focuses it. */
  openAtCursor(): void {
    this.open(this.editor.atCursor(), true);
    const own = this.element.querySelector<HTMLElement>("[aria-current]");
    (own ?? this.element.querySelector("button"))?.focus();
  }

  close(): void {
    this.later(undefined, 0);
    if (!this.isOpen) return;
    const hadFocus = this.element.contains(document.activeElement);
    this.editor.spanOf(this.index)?.classList.remove("looked-at");
    this.element.hidden = true;
    this.index = -1;
    this.isPinned = false;
    if (hadFocus) this.editor.element.focus();
  }

  private later(act: (() => void) | undefined, milliseconds: number): void {
    window.clearTimeout(this.timer);
    this.timer = act ? window.setTimeout(act, milliseconds) : undefined;
  }

  private open(index: number, isPinned: boolean): void {
    const draft = this.current();
    this.close();
    const token = draft?.tokens[index];
    const span = this.editor.spanOf(index);
    if (draft === undefined || token === undefined || span === undefined) return;
    this.draft = draft;
    this.index = index;
    this.isPinned = isPinned;
    span.classList.add("looked-at");
    this.element.replaceChildren(...this.contents());
    this.element.hidden = false;
    this.place(span);
  }

  private contents(): Node[] {
    const token = this.draft?.tokens[this.index];
    if (token === undefined) return [];
    const own: Alternative = { text: token.text, logprob: token.logprob, isText: true };
    const isListed = token.alternatives.some(({ text }) => text === own.text);
    const all = isListed ? token.alternatives : [...token.alternatives, own];
    const title = make("p", { id: "card-title" });
    title.append("Alternatives at this point");
    const list = make("ul", {});
    for (const alternative of all)
      list.append(make("li", {}, this.row(alternative, alternative.text === own.text)));
    return [title, list];
  }

  private row(alternative: Alternative, isOwn: boolean): HTMLElement {
    const inner = rowOf(alternative, isOwn);
    if (!alternative.isText) return make("span", { class: "row" }, ...inner);
    const row = make("button", { type: "button", class: "row" }, ...inner);
    if (isOwn) row.setAttribute("aria-current", "true");
    row.addEventListener("click", () => {
      const { index } = this;
      this.close();
      this.editor.element.focus();
      this.onTake(index, alternative);
    });
    return row;
  }

  /** Below the token, or above it where there is no room; never outside the sheet. */
  private place(span: Element): void {
    const sheet = this.element.offsetParent?.getBoundingClientRect();
    const [line] = span.getClientRects();
    if (sheet === undefined || line === undefined) return;
    const left = Math.min(line.left - sheet.left, sheet.width - this.element.offsetWidth);
    const bottom = document.querySelector(".bar")?.getBoundingClientRect().top ?? window.innerHeight;
    const height = this.element.offsetHeight;
    const fits = line.bottom + height < bottom || line.top - height < 0;
    this.element.style.left = `${Math.max(0, left)}px`;
    this.element.style.top = `${(fits ? line.bottom + 4 : line.top - height - 4) - sheet.top}px`;
  }

  private onKey(event: KeyboardEvent): void {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0) return;
    const rows = [...this.element.querySelectorAll("button")];
    const at = rows.indexOf(document.activeElement as HTMLButtonElement);
    rows[(at + step + rows.length) % rows.length]?.focus();
    event.preventDefault();
  }
}
