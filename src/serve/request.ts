import type { Hparams } from "../model/hparams.js";
import { randomSeed } from "../random.js";
import type { ContinuationOptions } from "../sampling/continuation.js";
import { faultOfBias } from "../sampling/logit-bias.js";
import { SAMPLING_OPTIONS } from "../sampling/options.js";
import { type PromptEncoder, promptIds, textIds } from "../sampling/prompt.js";
import { badField } from "./api-error.js";
import { checkFields, isIds, isText, LIMITS } from "./fields.js";

/** The parts of a model that reading a request needs. */
export interface ServedModel {
  readonly encoder: PromptEncoder & { decode(ids: Iterable<number>): string };
  readonly hparams: Hparams;
}

/** A prompt, as ids and as the text that `echo` returns. */
export interface Prompt {
  readonly ids: readonly number[];
  readonly text: string;
  /** The index of the text's first token in the ids, after the tokens that begin a text. */
  readonly first: number;
  /** The tokens it counts for. */
  readonly tokens: number;
}

/** A checked request for completions. */
export interface CompletionRequest {
  readonly model: string | undefined;
  readonly prompts: readonly Prompt[];
  /** Samples per prompt: the k-th is the k-th that the command line writes with the same seed. */
  readonly n: number;
  readonly max_tokens: number;
  readonly echo: boolean;
  /** Alternatives per token; undefined: no log-probabilities. */
  readonly logprobs: number | undefined;
  readonly stream: boolean;
  readonly include_usage: boolean;
  readonly sampling: ContinuationOptions;
}

/** OpenAI's default for max_tokens. */
const DEFAULT_MAX_TOKENS = 16;

/** A prompt's tokens. @throws ApiError when they do not fit the context, or the model lacks one */
function readPrompt(model: ServedModel, prompt: string | readonly number[], special?: boolean): Prompt {
  const { encoder, hparams } = model;
  const { n_ctx, n_vocab } = hparams;
  const given = isText(prompt) ? textIds(encoder, prompt, special) : prompt;
  const unknown = given.find((id) => id >= n_vocab);
  if (unknown !== undefined) {
    throw badField("prompt", `the model has no token ${unknown}: its ids are 0 to ${n_vocab - 1}`);
  }
  if (given.length > n_ctx) {
    throw badField(
      "prompt",
      `the prompt has ${given.length} tokens, the model's context ${n_ctx}: shorten the prompt`,
      "context_length_exceeded",
    );
  }
  const ids = promptIds(model, given, { onNotice: () => {} });
  if (!isText(prompt)) return { ids, text: encoder.decode(ids), first: 0, tokens: ids.length };
  const first = prompt === "" ? ids.length : encoder.special.begin.length;
  return { ids, text: prompt, first, tokens: ids.length };
}

/**
 * A prompt whose tokens are all scored, as by `gpt2 score`: after the token that a text begins from, without which its
 * first token would have no probability.
 */
function behindStart({ encoder }: ServedModel, prompt: Prompt): Prompt {
  const { startOfText } = encoder;
  const own = prompt.ids.slice(prompt.first);
  if (startOfText === undefined || own.length === 0) return prompt;
  return { ...prompt, ids: [startOfText, ...own], first: 1, tokens: own.length };
}

/**
 * Reads a request for completions.
 * @param body the parsed JSON
 * @throws ApiError that says what is wrong with it
 */
export function readRequest(body: unknown, model: ServedModel): CompletionRequest {
  const fields = checkFields(body);
  const { prompt = "", n = 1, best_of = n, max_tokens = DEFAULT_MAX_TOKENS, stop = [] } = fields;
  const { echo = false, logprobs, stream = false } = fields;
  if (best_of !== n && best_of !== 1) {
    throw badField("best_of", "best_of is not supported: ask for n samples with logprobs, and choose");
  }
  const list = isText(prompt) || isIds(prompt) ? [prompt] : prompt;
  if (list.length * n > LIMITS.choices) {
    throw badField("n", `${list.length} prompts times n ${n} are more than ${LIMITS.choices} texts`);
  }
  const biases = Object.entries(fields.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias] as const);
  const logit_bias = new Map(biases);
  const fault = faultOfBias(logit_bias, model.hparams.n_vocab);
  if (fault) throw badField("logit_bias", `logit_bias${fault}`);
  const isScored = echo && logprobs !== undefined && max_tokens === 0;
  const prompts = list.map((each) => {
    const read = readPrompt(model, each as string | readonly number[], fields.special);
    return isScored && isText(each) ? behindStart(model, read) : read;
  });
  return {
    model: fields.model,
    prompts,
    n,
    max_tokens,
    echo,
    logprobs,
    stream,
    include_usage: fields.stream_options?.include_usage ?? false,
    sampling: {
      seed: fields.seed ?? randomSeed(),
      length: max_tokens,
      temperature: fields.temperature ?? SAMPLING_OPTIONS.temperature.initial,
      top_k: fields.top_k ?? SAMPLING_OPTIONS.top_k.initial,
      top_p: fields.top_p ?? SAMPLING_OPTIONS.top_p.initial,
      min_p: fields.min_p,
      repetition_penalty: fields.repetition_penalty,
      presence_penalty: fields.presence_penalty,
      frequency_penalty: fields.frequency_penalty,
      logprobs,
      logit_bias,
      stop: isText(stop) ? [stop] : stop,
      ignore_eos: fields.ignore_eos,
      show_special: fields.show_special,
    },
  };
}
