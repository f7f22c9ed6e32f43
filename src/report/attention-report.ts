import type { Attention } from "../sampling/attention.js";
import { escaped, reportPage } from "./page.js";

/** A token as an attention page shows it. */
export interface ShownToken {
  readonly text: string;
  /** False for part of a character. */
  readonly isText: boolean;
}

/**
 * A page that shows what each token attends to, for a layer and a head to choose: as a matrix or as lines.
 * @param tokens one for each id of `attention`
 */
export function attentionReport(
  {
    title,
    summary,
    tokens,
  }: { readonly title: string; readonly summary: string; readonly tokens: readonly ShownToken[] },
  attention: Attention,
): string {
  const { n_layer, n_head } = attention;
  const main = `<div class="controls">
<label>Layer <select id="layer">${numbered(n_layer)}</select></label>
<label>Head <select id="head">${numbered(n_head)}</select></label>
<fieldset><legend class="unseen">Show as</legend>
<label><input type="radio" name="view" value="matrix" checked> matrix</label>
<label><input type="radio" name="view" value="lines"> lines</label>
</fieldset>
</div>
<p id="how">Choose a token by pointing, tapping, or with the slider’s arrow keys: the others are shaded by how much it
attends to them. The first token begins every text; heads with nothing to do rest on it.</p>
<noscript><p>This page needs JavaScript.</p></noscript>
<input class="place" id="place" type="range" max="${tokens.length - 1}" value="${tokens.length - 1}" aria-label="Token">
<div class="text" id="text">${tokens.map(({ text }) => `<span class="token">${escaped(text)}</span>`).join("")}</div>
<ul id="takes" aria-label="What it attends to most"></ul>
<canvas id="matrix" role="img" aria-label="Matrix: a row for each token, a column for each token that it attends to"></canvas>
<svg id="lines" role="img" aria-label="Lines from each token, on the left, to those that it attends to" hidden></svg>`;
  const data = { tokens, n_layer, n_head, weights: encoded(attention) };
  return reportPage({ title, summary, main, data, script: "attention" });
}

const numbered = (count: number): string =>
  Array.from({ length: count }, (_, i) => `<option value="${i}">${i + 1}</option>`).join("");

/** The weights up to the diagonal, of layer after layer and head after head, as uint16 of 1/65535, in base64. */
function encoded({ ids, n_layer, n_head, weights }: Attention): string {
  const n = ids.length;
  const bytes = Buffer.alloc(n_layer * n_head * n * (n + 1)); // n (n + 1) / 2 of each head, 2 bytes each
  let at = 0;
  for (let row = 0; row < n_layer * n_head * n; row++) {
    for (let from = 0; from <= row % n; from++) {
      at = bytes.writeUInt16LE(Math.round(weights[row * n + from] * 65535), at);
    }
  }
  return bytes.toString("base64");
}
