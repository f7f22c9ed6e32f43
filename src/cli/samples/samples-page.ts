import { basename, resolve } from "node:path";
import { MAX_REPORTED, type ReportedText, textReport } from "../../report/text-report.js";
import { searchesBeams } from "../../sampling/beam-faults.js";
import type { DrawnToken } from "../../sampling/logprobs.js";
import { UsageError } from "../../system/errors.js";
import { expandPath } from "../../system/paths.js";
import type { FileOptions } from "../options/files.js";
import type { GeneratingOptions } from "../options/sampling.js";
import { writeOutFile } from "./out-file.js";
import { piecesOf } from "./painting.js";
import { PAGE_TOP } from "./score-page.js";
import type { SampleRecord } from "./sink.js";

/** Gathers the samples of a run for the page that --html asks for. */
export class SamplesPage {
  /** How many of each token's likeliest alternatives it needs. */
  readonly explain = PAGE_TOP;
  readonly #texts: ReportedText[] = [];
  #tokens = 0;

  /**
   * @param count how many samples there will be
   * @param most tokens of each, at most
   * @throws UsageError when they are too many for a page
   */
  constructor(
    private readonly options: GeneratingOptions & FileOptions,
    private readonly count: number,
    most: number,
  ) {
    if (count * most <= MAX_REPORTED) return;
    throw new UsageError(
      `a page shows at most ${MAX_REPORTED} tokens, and ${count} samples of up to ${most} may have more`,
      { next: "lower --length or --nsamples, or drop --html" },
    );
  }

  /** Takes a sample that has ended. */
  add(
    { sample, prompt_number, prompt, text, tokens, finish_reason }: SampleRecord,
    drawn: readonly DrawnToken[],
  ): void {
    const words = [
      ...(prompt_number === undefined ? [] : [`prompt ${prompt_number}`]),
      ...(this.count > 1 ? [`sample ${sample}`] : []),
      ...(finish_reason === "interrupted" ? ["interrupted"] : []),
    ].join(", ");
    const heading = words === "" ? undefined : words[0].toUpperCase() + words.slice(1);
    this.#texts.push({ heading, prompt, pieces: piecesOf(text, drawn) });
    this.#tokens += tokens;
  }

  /** Writes the page, if there is anything to show. @param seed undefined: the prompts have options of their own */
  async write(seed?: number): Promise<void> {
    if (this.#texts.length === 0) return;
    const { html = "", overwrite = false, model_name } = this.options;
    const title = `Written by ${basename(resolve(model_name))}`;
    const summary = `${this.#tokens} tokens${seed === undefined ? "" : `; ${this.#how(seed)}`}`;
    await writeOutFile(expandPath(html), textReport({ title, summary, texts: this.#texts }), overwrite);
  }

  #how(seed: number): string {
    const { num_beams, temperature, top_k, top_p } = this.options;
    if (searchesBeams(this.options)) return `beam search, num_beams ${num_beams}`;
    return `seed ${seed}, temperature ${temperature}, top_k ${top_k}, top_p ${top_p}`;
  }
}
