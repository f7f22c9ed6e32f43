/** The script of an attention page: the weights of a head, as a matrix or as lines, and those of one token. */
import { percent } from "../probability-scale.js";
import { byId, make } from "./dom.js";
import { rowOf, spoken, visible } from "./rows.js";

/** As src/report/attention-report.ts writes it. */
interface Told {
  readonly tokens: readonly { readonly text: string; readonly isText: boolean }[];
  readonly n_layer: number;
  readonly n_head: number;
  readonly weights: string;
}

/** How many tokens are listed of those that the chosen one attends to. */
const LISTED = 5;
/** Lines fainter than this are not drawn. */
const FAINTEST = 0.01;
/** Pixels per row of tokens. */
const LINE = 20;
/** The most characters of a token shown beside the lines. */
const LONGEST = 14;

const { tokens, n_head, weights } = JSON.parse(byId("data").textContent ?? "") as Told;
const n = tokens.length;
const values = new Uint16Array(Uint8Array.from(atob(weights), (letter) => letter.charCodeAt(0)).buffer);

const layer = byId<HTMLSelectElement>("layer");
const head = byId<HTMLSelectElement>("head");
const slider = byId<HTMLInputElement>("place");
const text = byId("text");
const takes = byId("takes");
const matrix = byId<HTMLCanvasElement>("matrix");
const lines = document.querySelector<SVGSVGElement>("#lines") as SVGSVGElement;
const spans = [...text.querySelectorAll<HTMLElement>(".token")];

/** How much a token attends to one at or before it, in the chosen head. */
function weight(token: number, from: number): number {
  const before = Number(layer.value) * n_head + Number(head.value);
  return values[(before * n * (n + 1)) / 2 + (token * (token + 1)) / 2 + from] / 65535;
}

const isMatrix = (): boolean => document.querySelector("[value=matrix]:checked") !== null;

/** Shows what a token attends to, and where it is in the picture. */
function choose(token: number): void {
  slider.value = String(token);
  const all = spans.map((_, from) => (from <= token ? weight(token, from) : 0));
  for (const [from, span] of spans.entries()) {
    span.style.setProperty("--share", `${Math.round(all[from] * 100)}%`);
    span.classList.toggle("looked-at", from === token);
  }
  const most = all
    .map((share, from) => ({ share, from }))
    .filter(({ from }) => from <= token)
    .sort((a, b) => b.share - a.share)
    .slice(0, LISTED);
  const rows = most.map(({ share, from }) => {
    const { text, isText } = tokens[from];
    return make("li", { class: "row" }, ...rowOf({ text, isText, logprob: Math.log(share) }, false));
  });
  takes.replaceChildren(...rows);
  const said = most.slice(0, 3).map(({ share, from }) => `${name(from)} ${percent(share)}`);
  slider.setAttribute("aria-valuetext", `${name(token)} attends to ${said.join(", ")}`);
  draw(token);
}

const name = (token: number): string => (token === 0 ? "the beginning" : spoken(tokens[token].text));

function draw(token: number): void {
  const showsMatrix = isMatrix();
  matrix.hidden = !showsMatrix;
  lines.toggleAttribute("hidden", showsMatrix);
  if (showsMatrix) drawMatrix(token);
  else drawLines(token);
}

/** A row for each token: the darker, the more it attends to the column's. The chosen one's row is framed. */
function drawMatrix(token: number): void {
  const ratio = window.devicePixelRatio;
  const cell = Math.max(1, Math.floor((Math.min(matrix.clientWidth, 40 * n) * ratio) / n));
  matrix.width = matrix.height = cell * n;
  const context = matrix.getContext("2d");
  if (!context) return;
  const styles = getComputedStyle(matrix);
  context.fillStyle = styles.color;
  for (let row = 0; row < n; row++) {
    for (let from = 0; from <= row; from++) {
      context.globalAlpha = weight(row, from);
      context.fillRect(from * cell, row * cell, cell, cell);
    }
  }
  context.globalAlpha = 1;
  context.strokeStyle = styles.outlineColor;
  context.lineWidth = Math.max(1, ratio);
  context.strokeRect(0, token * cell, (token + 1) * cell, cell);
}

/** The tokens twice, and a line from each on the left to those on the right that it attends to. */
function drawLines(token: number): void {
  const width = Math.min(lines.clientWidth, 560);
  const [left, right] = [width * 0.36, width * 0.64];
  lines.setAttribute("height", String(LINE * n));
  lines.setAttribute("viewBox", `0 0 ${lines.clientWidth} ${LINE * n}`);
  const middle = (index: number): number => (index + 0.5) * LINE;
  const parts: SVGElement[] = [];
  for (const [row, { text }] of tokens.entries()) {
    const letters = [...visible(text)];
    const word = letters.length > LONGEST ? `${letters.slice(0, LONGEST - 1).join("")}…` : letters.join("");
    const kind = { class: row === token ? "chosen" : "" };
    parts.push(svg("text", { x: left - 6, y: middle(row), "text-anchor": "end", ...kind }, word));
    parts.push(svg("text", { x: right + 6, y: middle(row) }, word));
    for (let from = 0; from <= row; from++) {
      const share = weight(row, from);
      if (share < FAINTEST) continue;
      const ends = { x1: left, y1: middle(row), x2: right, y2: middle(from) };
      parts.push(svg("line", { ...ends, "stroke-opacity": share, ...kind }));
    }
  }
  lines.replaceChildren(...parts);
}

function svg(kind: string, attributes: Readonly<Record<string, string | number>>, content = ""): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, String(value));
  element.textContent = content;
  return element;
}

const chosen = (): number => Number(slider.value);

/** Which token's row of a picture an event is about. */
function rowAt({ clientY }: MouseEvent, picture: Element): number {
  const { top, height } = picture.getBoundingClientRect();
  return Math.min(n - 1, Math.max(0, Math.floor(((clientY - top) / height) * n)));
}

text.addEventListener("pointermove", ({ target, pointerType }) => {
  const token = spans.indexOf(target as HTMLElement);
  if (token >= 0 && pointerType !== "touch" && token !== chosen()) choose(token);
});
text.addEventListener("click", ({ target }) => {
  const token = spans.indexOf(target as HTMLElement);
  if (token >= 0) choose(token);
});
for (const picture of [matrix, lines]) {
  picture.addEventListener("click", (event) => choose(rowAt(event as MouseEvent, picture)));
}
slider.addEventListener("input", () => choose(chosen()));
for (const control of [layer, head, ...document.querySelectorAll("[name=view]")]) {
  control.addEventListener("change", () => choose(chosen()));
}
window.addEventListener("resize", () => draw(chosen()));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(chosen()));
document.body.classList.add("works");
choose(chosen());
