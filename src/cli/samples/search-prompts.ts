import { type BeamJob, searchBeams, tellBeam } from "../../sampling/beam-search.js";
import type { DrawnToken } from "../../sampling/logprobs.js";
import { paintsTexts } from "./painting.js";
import { idsOf, type NumberedPrompt, type PromptsRun, type Written, writeRecord } from "./run-prompts.js";
import { mostOf, toldTokens } from "./told-tokens.js";

interface PromptJob extends BeamJob {
  readonly entry: NumberedPrompt;
}

/**
 * Writes the texts that beam searches find for many prompts, in the order of the prompts. Searches batch_size prompts at
 * once; each text is what `generate` finds for its prompt alone.
 */
export async function searchPrompts(run: PromptsRun): Promise<Written> {
  const { model, output, prompts, batch_size } = run;
  const { engine, encoder } = model;
  const paints = paintsTexts(output, run.format, run.color);
  function* jobs(): Generator<PromptJob, void, void> {
    for (const entry of prompts) {
      if (entry.numbering.count === 0) continue;
      const { num_beams = 1, length_penalty = 1, num_return = 1 } = entry.options;
      const logprobs = mostOf(entry.options.logprobs, run.page?.explain, paints ? 0 : undefined);
      const options = { ...entry.options, num_beams, length_penalty, num_return, logprobs };
      yield { entry, options, prompt: idsOf(model, entry) };
    }
  }
  const signal = AbortSignal.any([run.signal, output.closed]);
  let [written, total] = [0, 0];
  for await (const found of searchBeams(engine, encoder, jobs(), { batch_size, signal })) {
    if (found.isInterrupted) break;
    const { prompt, number, numbering, options } = found.job.entry;
    for (let k = 0; k < numbering.count; k++) {
      const rank = numbering.numberOf(k);
      let text = "";
      const drawn: DrawnToken[] = [];
      for (const event of tellBeam(encoder, found, found.texts[rank], k)) {
        if (event.type === "text") text += event.text;
        else if (event.type === "token") drawn.push(event.token);
        else {
          const { tokens, finish_reason, score } = event;
          total += tokens;
          await writeRecord(
            run,
            {
              ...{ sample: rank + 1, prompt_number: number, prompt, text, tokens, finish_reason, score },
              ...toldTokens(drawn, options.logprobs),
            },
            ++written,
            drawn,
            paints,
          );
        }
      }
    }
  }
  return { samples: written, tokens: total };
}
