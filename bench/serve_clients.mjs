// The clients of bench/serve.mjs, in a process of their own so that none of their time is the server's: it is forked
// with the server's address and answers {rate: n} and {first: n, token} with {result}.
import { request } from "node:http";

const [, , url] = process.argv;
const PROMPT = 4;
const LENGTH = 96;

let asked = 0;
/** `length` token ids that no other prompt begins with. */
function prompt(length) {
  asked++;
  return Array.from({ length }, (_, i) => (asked * 7919 + i * 104729) % 50000);
}

/** Streams a text. @param signal leaves it @returns its tokens, and the moments of its first and last event */
async function ask(prompt_tokens, max_tokens, signal) {
  const body = {
    ...{ prompt: prompt(prompt_tokens), max_tokens, temperature: 0, ignore_eos: true },
    ...{ stream: true, stream_options: { include_usage: true } },
  };
  // A connection each: one that is kept would time out while the engine is measured alone.
  return await new Promise((resolve, reject) => {
    const call = request(`${url}/v1/completions`, { method: "POST", agent: false, signal }, (response) => {
      const pieces = [];
      let first;
      response.on("data", (piece) => {
        first ??= performance.now();
        pieces.push(piece);
      });
      response.once("error", reject).once("end", () => {
        const [, tokens] = /"completion_tokens":(\d+)/.exec(Buffer.concat(pieces).toString());
        resolve({ tokens: Number(tokens), first, last: performance.now() });
      });
    });
    call.once("error", reject).end(JSON.stringify(body));
  });
}

/** Tokens per second of `clients` at once: from their requests to their ends, and from the last one's first token. */
async function rate(clients) {
  const started = performance.now();
  const texts = await Promise.all(Array.from({ length: clients }, () => ask(PROMPT, LENGTH)));
  const ended = Math.max(...texts.map(({ last }) => last));
  const tokens = texts.reduce((sum, text) => sum + text.tokens, 0);
  const first = Math.max(...texts.map((text) => text.first));
  return {
    whole: (tokens * 1000) / (ended - started),
    decode: ((tokens - clients) * 1000) / (ended - first),
  };
}

/** Milliseconds from requests of 32 tokens to their first new one, one after another, beside seven texts. */
async function firstTokens(count, tokenMilliseconds) {
  const leaving = new AbortController();
  const streams = Array.from({ length: 7 }, () => ask(PROMPT, 16_000, leaving.signal).catch(() => 0));
  const times = [];
  for (let i = 0; i <= count; i++) {
    // At any moment of a pass; the first of them waits until all seven are written.
    await new Promise((resolve) =>
      setTimeout(resolve, (i === 0 ? 20 : 1 + Math.random()) * tokenMilliseconds),
    );
    const started = performance.now();
    const { last } = await ask(32, 1);
    if (i > 0) times.push(last - started);
  }
  leaving.abort();
  await Promise.all(streams);
  return times;
}

process.on("message", async ({ clients, first, token }) => {
  process.send(clients ? await rate(clients) : await firstTokens(first, token));
});
