import { LEVELS, levelOf } from "../probability-scale.js";
import type { LikelyToken, TokenLogprob } from "../sampling/logprobs.js";
import { isWhole, type Piece } from "../sampling/pieces.js";
import { escaped, reportPage } from "./page.js";

/** A text that a report shows. */
export interface ReportedText {
  /** If there are several. */
  readonly heading?: string;
  /** What it continues; it has no colours. */
  readonly prompt?: string;
  readonly pieces: readonly Piece<TokenLogprob>[];
}

/** What a report shows. */
export interface TextReport {
  readonly title: string;
  /** A line below the title: the options, the perplexity. */
  readonly summary: string;
  readonly texts: readonly ReportedText[];
}

/** The most tokens in a report: as many as browsers show without delay. */
export const MAX_REPORTED = 50_000;

/**
 * A page that shows texts: each token coloured by its probability, the alternatives to the one under the pointer,
 * and a curve of surprise along each text. It can be read without its script.
 */
export function textReport({ title, summary, texts }: TextReport): string {
  const levels = LEVELS.map(({ words }, i) => `<li><span class="token level-${i}">${words}</span></li>`);
  const main = `<ul id="levels" aria-label="Colours: the probability of a token">${levels.join("")}</ul>
<p id="how">Point at a token or tap it, or move a slider with the arrow keys, to see what else could have come. These
are the model’s own probabilities, before any option shapes the draw.</p>
${texts.map(sectionOf).join("\n")}
<div id="card" role="group" aria-label="What else could have come" hidden></div>`;
  const data = texts.map(({ pieces }) => pieces.map(dataOf));
  return reportPage({ title, summary, main, data, script: "report" });
}

function sectionOf({ heading, prompt = "", pieces }: ReportedText): string {
  const spans = pieces.map(
    ({ text, logprob }) => `<span class="token level-${levelOf(Math.exp(logprob))}">${escaped(text)}</span>`,
  );
  const head = heading === undefined ? "" : `<h2>${escaped(heading)}</h2>\n`;
  const before = prompt === "" ? "" : `<span class="prompt">${escaped(prompt)}</span>`;
  return `<section>
${head}${curveOf(pieces)}
<div class="text" dir="auto">${before}${spans.join("")}</div>
</section>`;
}

/** Surprise along a text, and the slider that moves along it. */
function curveOf(pieces: readonly Piece<TokenLogprob>[]): string {
  if (pieces.length === 0) return "<p>It has no tokens.</p>";
  const bits = pieces.map(({ logprob }) => Math.abs(logprob / Math.LN2));
  const most = bits.reduce((max, each) => Math.max(max, each), 0);
  const top = Math.max(1, Math.ceil(most));
  const bars = bits.map((each, i) => `M${i} ${top}v-${each.toFixed(2)}h1V${top}z`);
  const tokens = pieces.reduce((sum, piece) => sum + piece.tokens.length, 0);
  const mean = bits.reduce((sum, each) => sum + each, 0) / tokens;
  const words = `Surprise, bits a token: ${mean.toFixed(2)} on average, ${most.toFixed(1)} at most`;
  return `<figure>
<svg class="curve" role="img" aria-label="${words}" viewBox="0 0 ${pieces.length} ${top}" preserveAspectRatio="none"><path d="${bars.join("")}"/><line class="mark" y2="${top}" visibility="hidden"/></svg>
<input class="place" type="range" max="${pieces.length - 1}" value="0" aria-label="Token">
<figcaption>${words}</figcaption>
</figure>`;
}

/** What the script reads of a piece: its token's numbers. */
function dataOf({ text, logprob, tokens: [first, ...others] }: Piece<TokenLogprob>): object {
  return {
    ...{ text, logprob },
    ...(others.length === 0 && { id: first.id, rank: first.rank }),
    alternatives: first.top.map((token: LikelyToken) => ({
      ...{ id: token.id, text: token.text, logprob: token.logprob },
      isText: isWhole(token),
    })),
  };
}
