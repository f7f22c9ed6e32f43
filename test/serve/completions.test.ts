/** The completions API as programs use it: OpenAI's own client, and what other libraries send. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import OpenAI from "openai";
import { loadEncoder } from "../../dist/src/encoder/encoder.js";
import { sample } from "../../dist/src/sampling/sample.js";
import { MICRO } from "../support/models.js";
import {
  type Answered,
  answered,
  eventsOf,
  microModel,
  refused,
  type Served,
  serving,
} from "../support/serving.js";
import { assertDone, gpt2, micro, parseLines } from "../support/spawn.js";

const encoder = await loadEncoder(MICRO.folder);
const clientOf = ({ url }: Served, apiKey = "none"): OpenAI =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const ASKED = { model: "micro", prompt: "The king", seed: 3, max_tokens: 30 } as const;

/** The text of tokens as the API names them. */
function textOf(tokens: readonly string[]): string {
  const bytes = tokens.map((token) => {
    if (!token.startsWith("bytes:")) return Buffer.from(token);
    const escaped = token
      .slice("bytes:".length)
      .replace(/\\x([\da-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
    return Buffer.from(escaped, "latin1");
  });
  return Buffer.concat(bytes).toString();
}

/** What sample() writes for a prompt. */
async function sampled(prompt: readonly number[], options: object): Promise<string[]> {
  const { engine } = await microModel();
  const all = {
    seed: 3,
    nsamples: 1,
    batch_size: 1,
    temperature: 1,
    top_k: 0,
    top_p: 1,
    length: 30,
    ...options,
  };
  const texts: string[] = [];
  for await (const event of sample(engine, encoder, prompt, all)) {
    if (event.type === "text") texts[event.sample] = (texts[event.sample] ?? "") + event.text;
  }
  return texts;
}

describe("OpenAI's client", () => {
  test("completions, n, seed and usage", () =>
    serving({}, async (served) => {
      const client = clientOf(served);
      const answer = await client.completions.create({ ...ASKED, n: 3 });
      const texts = await sampled(encoder.encode("The king"), { nsamples: 3 });
      assert.deepEqual(
        answer.choices.map(({ text }) => text),
        texts,
      );
      assert.deepEqual(
        answer.choices.map(({ index, finish_reason }) => [index, finish_reason]),
        [0, 1, 2].map((i) => [i, "length"]),
      );
      assert.equal(answer.object, "text_completion");
      assert.equal(answer.model, "micro");
      assert.match(answer.id, /^cmpl-/);
      const prompt_tokens = encoder.encode("The king").length;
      const expected = { prompt_tokens, completion_tokens: 90, total_tokens: prompt_tokens + 90 };
      assert.deepEqual(answer.usage, expected);
    }));

  test("streams the same texts, with usage at the end where it is asked for", () =>
    serving({}, async (served) => {
      const texts = await sampled(encoder.encode("The king"), { nsamples: 2 });
      const stream = await clientOf(served).completions.create({
        ...ASKED,
        n: 2,
        stream: true,
        stream_options: { include_usage: true },
      });
      const found = ["", ""];
      const ends: (string | null)[] = [];
      let usage: unknown;
      let chunks = 0;
      for await (const { choices, usage: told } of stream) {
        chunks++;
        usage = told;
        for (const { index, text, finish_reason } of choices) {
          found[index] += text;
          ends[index] = finish_reason;
        }
      }
      assert.deepEqual(found, texts);
      assert.deepEqual(ends, ["length", "length"]);
      assert.ok(chunks > 20, `${chunks} chunks`);
      assert.deepEqual(Object.hasOwn({ ...(usage as object) }, "total_tokens"), true);
    }));

  test("prompts of every kind; the end of a text; stop texts; nothing at all", () =>
    serving({}, async (served) => {
      const client = clientOf(served);
      const ids = encoder.encode("The king");
      const [text] = await sampled(ids, {});
      const ask = async (body: Partial<OpenAI.CompletionCreateParamsNonStreaming>): Promise<string[]> =>
        (await client.completions.create({ ...ASKED, ...body })).choices.map((each) => each.text);
      assert.deepEqual(await ask({ prompt: ids }), [text]);
      const [other] = await sampled(encoder.encode("Once"), {});
      assert.deepEqual(await ask({ prompt: ["The king", "Once"] }), [text, other]);
      assert.deepEqual(await ask({ prompt: [ids, encoder.encode("Once")] }), [text, other]);
      assert.deepEqual(await ask({ prompt: "" }), await sampled([encoder.endOfText!], {}));
      const stop = text.slice(9, 12);
      const stopped = await client.completions.create({ ...ASKED, stop: ["no such text", stop] });
      assert.equal(stopped.choices[0].text, text.slice(0, text.indexOf(stop)));
      assert.equal(stopped.choices[0].finish_reason, "stop");
      assert.deepEqual(await ask({ echo: true }), [`The king${text}`]);
      assert.deepEqual(await ask({ echo: true, max_tokens: 0 }), ["The king"]);
      assert.equal((await ask({ max_tokens: undefined }))[0], (await sampled(ids, { length: 16 }))[0]);
      const bias = { [ids[0]]: 1e9 };
      assert.equal(
        (await ask({ logit_bias: bias, max_tokens: 3 }))[0],
        encoder.decode([ids[0], ids[0], ids[0]]),
      );
    }));

  test("options reach the draw, OpenAI's and others'", () =>
    serving({}, async (served) => {
      const ids = encoder.encode("The king");
      for (const options of [
        { temperature: 0.5 },
        { top_p: 0.4 },
        { presence_penalty: 1.5 },
        { frequency_penalty: 1.5 },
        { top_k: 3 },
        { min_p: 0.5 },
        { repetition_penalty: 1.8 },
        { ignore_eos: true },
      ]) {
        const { choices } = await answered(await served.post({ ...ASKED, ...options }));
        assert.deepEqual([choices[0].text], await sampled(ids, options), JSON.stringify(options));
        if (!("ignore_eos" in options)) assert.notDeepEqual([choices[0].text], await sampled(ids, {}));
      }
    }));

  test("models, and errors in its own classes", () =>
    serving({ api_key: "secret" }, async (served) => {
      const client = clientOf(served, "secret");
      const list = await client.models.list();
      assert.deepEqual(
        list.data.map(({ id }) => id),
        ["micro"],
      );
      assert.equal((await client.models.retrieve("micro")).object, "model");
      await assert.rejects(client.models.retrieve("gpt-4"), OpenAI.NotFoundError);
      await assert.rejects(
        client.completions.create({ ...ASKED, model: "gpt-4" }),
        (error: InstanceType<typeof OpenAI.NotFoundError>) =>
          error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
      );
      await assert.rejects(client.completions.create({ ...ASKED, temperature: -1 }), OpenAI.BadRequestError);
      await assert.rejects(clientOf(served, "wrong").models.list(), OpenAI.AuthenticationError);
      const chat = client.chat.completions.create({
        model: "micro",
        messages: [{ role: "user", content: "x" }],
      });
      await assert.rejects(chat, /cannot chat: use \/v1\/completions/);
    }));

  test("a stream that is left is given up", () =>
    serving({}, async (served) => {
      const stream = await clientOf(served).completions.create({
        ...ASKED,
        max_tokens: 16_000,
        stream: true,
      });
      for await (const _ of stream) break;
    })); // serving() waits for it otherwise, and counts
});

describe("log-probabilities", () => {
  test("of drawn tokens: names, offsets, the likeliest, whole and streamed", () =>
    serving({}, async ({ post }) => {
      const asked = { ...ASKED, logprobs: 4, max_tokens: 12 };
      const { choices } = await answered(await post(asked));
      const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0].logprobs!;
      assert.equal(tokens.length, 12);
      for (const [i, token] of tokens.entries()) {
        const top = top_logprobs[i]!;
        assert.equal(top[token], token_logprobs[i]);
        assert.ok([4, 5].includes(Object.keys(top).length));
        assert.ok(Object.values(top).reduce((sum, each) => sum + Math.exp(each), 0) <= 1 + 1e-9);
        if (token.startsWith("bytes:")) continue;
        // A character that was never finished shows with the token behind it.
        const from = [...choices[0].text]
          .slice(text_offset[i])
          .join("")
          .replace(/^\ufffd+/, "");
        assert.ok(from.startsWith(token), `${token} in ${from}`);
      }
      const events = eventsOf(await (await post({ ...asked, stream: true })).text());
      assert.equal(events.at(-1), "[DONE]");
      const pieces = events.slice(0, -1).map((data) => (JSON.parse(data) as Answered).choices[0]);
      assert.deepEqual(
        pieces.flatMap(({ logprobs }) => logprobs!.tokens),
        tokens,
      );
      assert.deepEqual(
        pieces.flatMap(({ logprobs }) => logprobs!.text_offset),
        text_offset,
      );
      // What a stop text cuts off has no tokens either.
      const stop = tokens[6];
      const cut = (await answered(await post({ ...asked, stop }))).choices[0];
      assert.deepEqual(cut.logprobs!.tokens, tokens.slice(0, tokens.indexOf(stop)));
      assert.equal(cut.text, textOf(cut.logprobs!.tokens));
    }));

  test("of a prompt: echo with max_tokens 0 is gpt2 score", () =>
    serving({}, async ({ post }) => {
      for (const { text, logprobs: expected, ids } of MICRO.expected.texts) {
        const scored = await gpt2(["score", ...micro("--format", "jsonl")], { stdin: text });
        assertDone(scored);
        const asked = { model: "micro", prompt: text, echo: true, logprobs: 1, max_tokens: 0 };
        const { choices, usage } = await answered(await post(asked));
        const { token_logprobs, tokens } = choices[0].logprobs!;
        assert.deepEqual(token_logprobs, JSON.parse(scored.stdout).logprobs);
        assert.ok(token_logprobs.every((each, i) => Math.abs(each! - expected[i]) < 1e-4));
        assert.deepEqual([choices[0].text, textOf(tokens), usage!.prompt_tokens], [text, text, ids.length]);
      }
    }));

  test("of a prompt before new tokens: the first has none, the others those of what stands before them", () =>
    serving({}, async ({ post }) => {
      const [{ text, ids }] = MICRO.expected.texts;
      const start = [encoder.endOfText!, ...ids];
      const scored = await answered(await post({ prompt: text, echo: true, logprobs: 0, max_tokens: 0 }));
      const asked = { prompt: start, echo: true, logprobs: 1, max_tokens: 1, temperature: 0 };
      const { choices } = await answered(await post(asked));
      const { token_logprobs, top_logprobs, tokens, text_offset } = choices[0].logprobs!;
      assert.equal(token_logprobs[0], null);
      assert.equal(top_logprobs[0], null);
      assert.deepEqual(token_logprobs.slice(1, -1), scored.choices[0].logprobs!.token_logprobs);
      assert.equal(tokens.length, start.length + 1);
      assert.equal(token_logprobs.at(-1), Math.max(...Object.values(top_logprobs.at(-1)!)), "drawn greedily");
      assert.equal(text_offset.at(-1), [...encoder.decode(start)].length);
      const plain = await answered(await post({ prompt: start, max_tokens: 1, temperature: 0 }));
      assert.equal(choices[0].text, encoder.decode(start) + plain.choices[0].text);
    }));

  test("parts of characters are named by their bytes", () =>
    serving({}, async ({ post }) => {
      const ids = encoder.encode("é");
      assert.equal(ids.length, 2, "two bytes, two tokens");
      const asked = { prompt: ["aé"], echo: true, logprobs: 0, max_tokens: 0 };
      const { tokens, text_offset } = (await answered(await post(asked))).choices[0].logprobs!;
      assert.deepEqual(tokens, ["a", "bytes:\\xc3", "bytes:\\xa9"]);
      assert.deepEqual(text_offset, [0, 1, 1]);
    }));
});

test("32 clients at once get exactly the command line's texts", () =>
  serving({ cache_megabytes: 1 }, async ({ post }) => {
    const kinds = [
      { prompt: "The king said to", options: { top_k: 40 } },
      { prompt: "The king said that", options: { temperature: 0.8, repetition_penalty: 1.2 } },
      { prompt: "x", options: { length: 90, ignore_eos: true } }, // beyond the context
      { prompt: "No", options: { top_p: 0.9, stop: "a" } },
    ];
    const clients = kinds.map(async ({ prompt, options }, seed) => {
      const { length = 25, ...others } = options as Record<string, unknown>;
      const flags = Object.entries({ seed, length, ...others }).flatMap(([name, value]) =>
        value === true ? [`--${name}`] : [`--${name}`, String(value)],
      );
      const outcome = await gpt2([
        "generate",
        prompt,
        ...micro(...flags, "--nsamples", "8", "--format", "jsonl"),
      ]);
      assertDone(outcome);
      const lines = parseLines(outcome.stdout).map(({ text, finish_reason }) => ({ text, finish_reason }));
      return Array.from({ length: 8 }, (_, i) => ({
        prompt,
        seed,
        n: i + 1,
        max_tokens: length,
        ...others,
        lines,
      }));
    });
    const asked = (await Promise.all(clients)).flat();
    assert.equal(asked.length, 32);
    const answers = await Promise.all(asked.map(async ({ lines: _, ...body }) => answered(await post(body))));
    for (const [i, { choices }] of answers.entries()) {
      const { lines, n } = asked[i];
      assert.deepEqual(
        choices.map(({ text }) => text),
        lines.slice(0, n).map(({ text }) => text),
      );
      assert.deepEqual(
        choices.map(({ finish_reason }) => finish_reason),
        lines.slice(0, n).map(({ finish_reason }) => (finish_reason === "length" ? "length" : "stop")),
      );
    }
  }));

describe("what other programs send", () => {
  /** LangChain.js's and Continue's adapter's as they arrived; the others as their sources write them, with their defaults. */
  const SENT: Readonly<Record<string, object>> = {
    "simonw/llm, completion: true": {
      model: "micro",
      prompt: "The king",
      stream: true,
      max_tokens: 256,
      stream_options: { include_usage: true },
    },
    "LangChain.js's OpenAI": {
      model: "micro",
      temperature: 0.7,
      max_tokens: 20,
      n: 1,
      stream: false,
      prompt: ["The king"],
    },
    "Continue's adapter": { model: "micro", prompt: "The king", max_tokens: 10, stream: true, stop: ["\n"] },
    "LangChain's OpenAI": {
      model: "micro",
      prompt: ["The king"],
      temperature: 0.7,
      top_p: 1,
      frequency_penalty: 0,
      presence_penalty: 0,
      n: 1,
      max_tokens: 256,
      logit_bias: {},
      best_of: 1,
      seed: null,
      logprobs: null,
    },
    "Continue's autocompletion": {
      model: "micro",
      prompt: "The king",
      max_tokens: 128,
      temperature: 0.01,
      // Ends of a hole, and words that begin another definition in the file's language.
      stop: ["\n\n", "<|endoftext|>", ...Array.from({ length: 22 }, (_, i) => `\nkeyword${i}`)],
      stream: true,
      presence_penalty: null,
      frequency_penalty: null,
      suffix: "",
    },
    "lm-evaluation-harness, local-completions": {
      prompt: [encoder.encode("The king"), encoder.encode("No")],
      model: "micro",
      max_tokens: 1,
      logprobs: 1,
      echo: true,
      temperature: 0,
      seed: 1234,
    },
  };
  for (const [program, body] of Object.entries(SENT)) {
    test(program, () =>
      serving({}, async ({ post }) => {
        const response = await post(body);
        if ("stream" in body && body.stream) {
          assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
          assert.equal(eventsOf(await response.text()).at(-1), "[DONE]");
          return;
        }
        const { choices } = await answered(response);
        // Drawn without a seed, a text may end where it begins.
        assert.ok(choices.every(({ text, finish_reason }) => text !== "" || finish_reason === "stop"));
        // What the harness looks at: everything but the first token and the new one.
        if ("echo" in body) {
          const { token_logprobs, top_logprobs, tokens } = choices[0].logprobs!;
          assert.ok(token_logprobs.slice(1, -1).every((each) => typeof each === "number"));
          assert.ok(tokens.slice(1, -1).every((token, i) => token in top_logprobs[i + 1]!));
        }
      }),
    );
  }
});

describe("wrong requests", () => {
  const WRONG: readonly [body: unknown, param: string | null, message: RegExp][] = [
    ["{", null, /^the body is not JSON: /],
    ["[]", null, /^the body must be a JSON object, not \[\]$/],
    ["\xff", null, /^the body is not JSON/],
    [
      { prompt: "x", temprature: 1 },
      "temprature",
      /^unknown field "temprature": the fields are model, prompt/,
    ],
    [{ prompt: "x", __proto__: null, constructor: 1 }, "constructor", /unknown field/],
    [{ prompt: 5 }, "prompt", /^prompt must be a text, a list of texts/],
    [{ prompt: [] }, "prompt", /^prompt must be/],
    [{ prompt: ["x", 1] }, "prompt", /^prompt must be/],
    [{ prompt: [[]] }, "prompt", /^prompt must be/],
    [{ prompt: [400] }, "prompt", /^the model has no token 400: its ids are 0 to 399$/],
    [{ prompt: [-1] }, "prompt", /^prompt must be/],
    [{ prompt: "x ".repeat(80) }, "prompt", /tokens, the model's context 64: shorten the prompt$/],
    [{ max_tokens: "5" }, "max_tokens", /^max_tokens must be a whole number from 0 to 16384, not "5"$/],
    [{ max_tokens: 1e9 }, "max_tokens", /from 0 to 16384/],
    [{ temperature: -1 }, "temperature", /^temperature must be a number from 0, not -1$/],
    [{ top_p: 0 }, "top_p", /^top_p must be a number above 0, up to 1, not 0$/],
    [{ n: 0 }, "n", /^n must be a whole number from 1 to 128/],
    [{ n: 100, prompt: ["a", "b"] }, "n", /^2 prompts times n 100 are more than 128 texts$/],
    [{ best_of: 3 }, "best_of", /^best_of is not supported/],
    [{ suffix: "x" }, "suffix", /does not fill gaps/],
    [{ stop: ["a", ""] }, "stop", /^stop must be/],
    [{ stop: [1] }, "stop", /^stop must be/],
    [{ seed: 1.5 }, "seed", /^seed must be a whole number/],
    [{ logit_bias: { x: 1 } }, "logit_bias", /^logit_bias must be/],
    [{ logit_bias: { 400: 1 } }, "logit_bias", /no token 400/],
    [{ logprobs: true }, "logprobs", /^logprobs must be a whole number from 0 to 20, not true$/],
    [{ stream: 1 }, "stream", /^stream must be true or false, not 1$/],
    [{ stream_options: { x: true } }, "stream_options", /^stream_options must be/],
    [{ presence_penalty: 3 }, "presence_penalty", /^presence_penalty must be a number from -2 to 2/],
  ];
  test("each is refused by name, and the next one is answered", () =>
    serving({}, async ({ post }) => {
      for (const [body, param, message] of WRONG) {
        const error = await refused(await post(body), 400);
        assert.match(error.message, message);
        assert.equal(error.param, param);
        assert.equal(error.type, "invalid_request_error");
      }
      const long = await refused(await post({ prompt: "x ".repeat(80) }), 400);
      assert.equal(long.code, "context_length_exceeded");
      await answered(await post(ASKED));
    }));
});
