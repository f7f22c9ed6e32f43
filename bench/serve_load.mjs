// Whether a server's memory stays flat under load: node bench/serve_load.mjs [--minutes 30] [--clients 12]
//   [--model_name stories] [-- OPTIONS OF gpt2 serve]
// Starts the program as a user does. Clients ask for texts of drawn lengths, by ones and by threes, streamed or whole,
// with their own prompts or shared ones, and every tenth leaves before its text is done. A line a minute tells the
// server's memory; the last one compares the second half of the time with the first (less its first sixth, in which
// caches fill).
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../dist/src/cli/benchmark.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "30" },
    clients: { type: "string", default: "12" },
    model_name: { type: "string", default: "stories" },
  },
});
const program = join(fileURLToPath(new URL("..", import.meta.url)), "bin", "gpt2.js");
const args = ["serve", "--model_name", values.model_name, "--port", "0", "--queue", "64", ...positionals];
const server = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "pipe"] });
server.once("exit", (code) => {
  if (code !== 0) throw new Error(`gpt2 serve ended with ${code}`);
});
const url = await new Promise((resolve) => {
  createInterface({ input: server.stderr }).on("line", (line) => {
    const address = /ready at (\S+)/.exec(line)?.[1];
    if (address) resolve(address);
    else console.error(line);
  });
});

/** Resident memory of the server now, in MB of 10^6 bytes. */
function memory() {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"));
  return (Number(kilobytes) * 1024) / 1e6;
}

const draw = (n) => Math.floor(Math.random() * n);
const words = [
  "Once",
  "upon",
  "a",
  "time",
  "there",
  "was",
  "the",
  "little",
  "dog",
  "and",
  "Lily",
  "ran",
  "home",
];
const texts = (n) => Array.from({ length: n }, () => words[draw(words.length)]).join(" ");
const shared = Array.from({ length: 5 }, () => texts(60));
const end = Date.now() + Number(values.minutes) * 60_000;
const counts = { answered: 0, left: 0, refused: 0, tokens: 0 };

async function client() {
  while (Date.now() < end) {
    const leaves = draw(10) === 0;
    const controller = new AbortController();
    if (leaves) void sleep(draw(1000)).then(() => controller.abort());
    const body = {
      prompt: draw(3) === 0 ? shared[draw(shared.length)] + texts(draw(5)) : texts(1 + draw(60)),
      ...{
        max_tokens: 1 + draw(120),
        n: draw(4) === 0 ? 3 : 1,
        stream: draw(2) === 0,
        temperature: 0.8,
        top_k: 40,
      },
      ...(draw(4) === 0 ? { logprobs: 5 } : {}),
    };
    try {
      const { signal } = controller;
      const response = await fetch(`${url}/v1/completions`, {
        method: "POST",
        body: JSON.stringify(body),
        signal,
      });
      const answer = await response.text();
      if (response.ok) counts.answered++;
      else if (response.status === 429) counts.refused++;
      else throw new Error(`${response.status}: ${answer}`);
      counts.tokens += body.stream ? 0 : (JSON.parse(answer).usage?.completion_tokens ?? 0);
      if (response.status === 429) await sleep(1000);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      counts.left++;
    }
  }
}

const seen = [];
const clients = Promise.all(Array.from({ length: Number(values.clients) }, client));
console.log(
  `${url}, ${values.clients} clients, ${values.minutes} minutes; before any request ${memory().toFixed(0)} MB`,
);
while (Date.now() < end) {
  await sleep(Math.min(10_000, Math.max(0, end - Date.now())));
  seen.push(memory());
  if (seen.length % 6 === 0) {
    console.log(`${seen.length / 6} min: ${seen.at(-1).toFixed(0)} MB, ${JSON.stringify(counts)}`);
  }
}
await clients;
const half = Math.ceil(seen.length / 2);
const [first, second] = [seen.slice(Math.ceil(seen.length / 6), half), seen.slice(half)].map(median);
console.log(
  `median of the second half ${second.toFixed(0)} MB, of the first ${first.toFixed(0)} MB; at most ${Math.max(...seen).toFixed(0)} MB`,
);
server.kill("SIGTERM");
