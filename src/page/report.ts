/** A report's script: the card of the token under the pointer, or at a slider. */
import { percent } from "../probability-scale.js";
import { byId, make } from "./dom.js";
import type { Alternative } from "./pieces.js";
import { rowOf, spoken } from "./rows.js";

/** A token as src/report/text-report.ts writes it; without id and rank if several together make a character. */
interface ReportedToken {
  readonly text: string;
  readonly logprob: number;
  readonly id?: number;
  /** 1: none was likelier. */
  readonly rank?: number;
  readonly alternatives: readonly (Alternative & { readonly id: number })[];
}

const card = byId("card");

/** A text with its curve and its slider. */
class Text {
  /** The token whose card stays open: the slider's, or the one clicked. */
  private pinned = -1;
  private shown = -1;
  private readonly spans: readonly HTMLElement[];
  private readonly curve: SVGElement;
  private readonly mark: SVGElement;
  private readonly slider: HTMLInputElement;

  constructor(
    private readonly section: HTMLElement,
    private readonly tokens: readonly ReportedToken[],
  ) {
    const find = <Type extends Element>(selector: string): Type =>
      section.querySelector<Type>(selector) as Type;
    this.spans = [...section.querySelectorAll<HTMLElement>(".token")];
    this.curve = find(".curve");
    this.mark = find(".mark");
    this.slider = find(".place");
    this.listen(find(".text"), ({ target }) => this.spans.indexOf(target as HTMLElement));
    this.listen(this.curve, ({ clientX }) => this.onCurve(clientX));
    this.slider.addEventListener("focus", () => this.pin(Number(this.slider.value)));
    this.slider.addEventListener("input", () => this.pin(Number(this.slider.value)));
  }

  /** @param tokenAt the token that an event is about; -1: none */
  private listen(element: HTMLElement | SVGElement, tokenAt: (event: MouseEvent) => number): void {
    element.addEventListener("pointermove", (event) => {
      const { pointerType } = event as PointerEvent;
      if (pointerType !== "touch") this.show(tokenAt(event as MouseEvent));
    });
    element.addEventListener("pointerleave", () => this.show(this.pinned));
    element.addEventListener("click", (event) => {
      const index = tokenAt(event as MouseEvent);
      if (index < 0) return close();
      this.slider.value = String(index);
      this.slider.focus({ preventScroll: true }); // the arrow keys continue from here
      this.pin(index);
    });
  }

  /** The token at a place on the curve. */
  private onCurve(x: number): number {
    const { left, width } = this.curve.getBoundingClientRect();
    const index = Math.floor(((x - left) / width) * this.tokens.length);
    return Math.min(this.tokens.length - 1, Math.max(0, index));
  }

  /** Scrolls to a token and shows its card until another is pinned. */
  private pin(index: number): void {
    for (const text of texts) if (text !== this) text.unpin();
    this.pinned = index;
    this.spans[index]?.scrollIntoView({ block: "nearest" });
    this.show(index);
    const token = this.tokens[index];
    const probability = percent(Math.exp(token.logprob));
    this.slider.setAttribute("aria-valuetext", `${spoken(token.text)}: ${probability}, ${measured(token)}`);
  }

  unpin(): void {
    this.pinned = -1;
    this.show(-1);
  }

  private show(index: number): void {
    if (index === this.shown) return;
    this.spans[this.shown]?.classList.remove("looked-at");
    this.shown = index;
    const [span, token] = [this.spans[index], this.tokens[index]];
    card.hidden = token === undefined;
    this.mark.setAttribute("visibility", token ? "visible" : "hidden");
    if (span === undefined || token === undefined) return;
    span.classList.add("looked-at");
    this.mark.setAttribute("transform", `translate(${index + 0.5})`);
    card.replaceChildren(make("p", { id: "card-title" }, measured(token)), rowsOf(token));
    this.section.append(card);
    this.place(span);
  }

  /** Puts the card below the token, or above it where there is no room; within the section's width. */
  private place(span: HTMLElement): void {
    const frame = this.section.getBoundingClientRect();
    const [line] = span.getClientRects();
    if (line === undefined) return;
    const height = card.offsetHeight + 8;
    const isBelow = line.bottom + height < window.innerHeight || line.top < height;
    card.style.left = `${Math.max(0, Math.min(line.left - frame.left, frame.width - card.offsetWidth))}px`;
    card.style.top = `${(isBelow ? line.bottom + 8 : line.top - height) - frame.top}px`;
  }
}

function measured({ logprob, rank }: ReportedToken): string {
  const bits = `${Math.abs(logprob / Math.LN2).toFixed(1)} bits`;
  return rank === undefined ? `${bits}, several tokens` : `${bits}, rank ${rank.toLocaleString("en")}`;
}

/** The likeliest tokens, then the one in the text if it is not among them. */
function rowsOf({ id, text, logprob, alternatives }: ReportedToken): HTMLElement {
  const rows = alternatives.map((each) => row(each, each.id === id));
  const isListed = alternatives.some((each) => each.id === id);
  return make("ul", {}, ...rows, ...(isListed ? [] : [row({ text, logprob, isText: true }, true)]));
}

const row = (token: Alternative, isOwn: boolean): HTMLElement =>
  make("li", { class: "row", ...(isOwn && { "aria-current": "true" }) }, ...rowOf(token, isOwn));

/** Closes the card, wherever it is. */
function close(): void {
  for (const text of texts) text.unpin();
}

const known = JSON.parse(byId("data").textContent ?? "[]") as ReportedToken[][];
const texts = [...document.querySelectorAll<HTMLElement>("section")].flatMap((section, i) =>
  known[i].length === 0 ? [] : [new Text(section, known[i])],
);
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") close();
});
document.body.classList.add("works"); // what only the script can do is shown now
