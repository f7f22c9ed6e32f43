/** --html: what is written, and when it is refused; test/page/report.test.ts opens the pages. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { STORIES } from "../support/models.js";
import {
  assertDone,
  assertFails,
  gpt2,
  MICRO,
  micro,
  NO_SHELL,
  parseLines,
  ROOT,
  startGpt2,
  TEMPORARY,
} from "../support/spawn.js";

const MODEL = ["--model_name", STORIES.folder];
const WRITING = [...MODEL, "--seed", "1", "--length", "20"];

/** An empty folder, and a file's path in it. */
function place(name: string): { folder: string; html: string } {
  const folder = join(TEMPORARY, name);
  mkdirSync(folder);
  return { folder, html: join(folder, "page.html") };
}

/** The texts of the headings of a page. */
const headings = (html: string): string[] =>
  [...readFileSync(html, "utf8").matchAll(/<h2>(.*?)<\/h2>/g)].map(([, text]) => text);

/** The line below a page's title. */
const summaryOf = (html: string): string | undefined =>
  /<\/h1>\n<p>(.*)<\/p>/.exec(readFileSync(html, "utf8"))?.[1];

/** The numbers that a page is told, text by text. */
const toldOf = (html: string): { alternatives: unknown[] }[][] =>
  JSON.parse(/id="data">(.*?)<\/script>/.exec(readFileSync(html, "utf8"))?.[1] ?? "");

describe("--html", { concurrency: 2 }, () => {
  test("what goes to standard output is the same; nothing else is left", async () => {
    const { folder, html } = place("same");
    const text = "Once upon a time, there was a cat.\n";
    for (const [name, args, stdin] of [
      ["generate", [...WRITING, "The dog"], ""],
      ["generate", [...WRITING, "The dog", "--format", "jsonl", "--logprobs", "2"], ""],
      ["unconditional", [...WRITING, "--nsamples", "2"], ""],
      ["score", [...MODEL, "--top", "2"], text],
      ["score", [...MODEL, "--format", "jsonl"], text],
    ] as const) {
      const plain = await gpt2([name, ...args], { stdin });
      const both = await gpt2([name, ...args, "--html", html, "--overwrite"], { stdin });
      assertDone(both);
      assert.equal(both.stdout, plain.stdout);
      assert.ok(both.stderr.endsWith(`wrote ${html}\n`), both.stderr);
      for (const { alternatives } of toldOf(html).flat()) assert.equal(alternatives.length, 5);
    }
    assert.deepEqual(readdirSync(folder), ["page.html"]);
  });

  test("the line below the title: all tokens, and how they were drawn or found", async () => {
    const { html } = place("summary");
    const args = ["--format", "jsonl", "--html", html, "--overwrite"];
    const drawing = ["--nsamples", "3", "--stop", " a", "--temperature", "0.9", "--top_p", "0.8"];
    const drawn = await gpt2(["unconditional", ...WRITING, ...drawing, ...args]);
    assertDone(drawn);
    const all = parseLines(drawn.stdout).reduce((sum, { tokens }) => sum + tokens, 0);
    assert.equal(summaryOf(html), `${all} tokens; seed 1, temperature 0.9, top_k 0, top_p 0.8`);
    assertDone(await gpt2(["generate", "a", ...MODEL, "--num_beams", "2", "--length", "7", ...args]));
    assert.equal(summaryOf(html), "7 tokens; beam search, num_beams 2");
  });

  test("--logprobs and --top above five add to the page", async () => {
    const { html } = place("more");
    const args = ["--format", "jsonl", "--logprobs", "7", "--html", html];
    assertDone(await gpt2(["generate", "The dog", ...WRITING, ...args]));
    for (const { alternatives } of toldOf(html).flat()) assert.equal(alternatives.length, 7);
  });

  test("prompts of a file, beams, a sample cut by a stop text", async () => {
    const { folder, html } = place("many");
    const prompts = join(folder, "prompts.txt");
    writeFileSync(prompts, "The dog\nThe cat\n");
    const args = ["--prompts", prompts, "--html", html, "--overwrite"];
    assertDone(await gpt2(["generate", ...WRITING, ...args, "--nsamples", "2", "--batch_size", "3"]));
    const four = ["Prompt 1, sample 1", "Prompt 1, sample 2", "Prompt 2, sample 1", "Prompt 2, sample 2"];
    assert.deepEqual(headings(html), four);
    const beams = [...MODEL, "--length", "8", "--num_beams", "2", "--num_return", "2"];
    assertDone(await gpt2(["generate", ...beams, ...args]));
    assert.deepEqual(headings(html), four);
    const { stdout } = await gpt2([
      ...["generate", "The dog", ...WRITING, "--stop", "a", "--include_prefix", "false"],
      ...["--html", html, "--overwrite"],
    ]);
    const shown = /<\/span><span class="token.*<\/div>/.exec(readFileSync(html, "utf8"))?.[0] ?? "";
    assert.equal(`${shown.replace(/<[^>]*>/g, "")}\n`, stdout);
  });

  test("Ctrl-C: the page has what was written so far", { skip: NO_SHELL }, async () => {
    const { html } = place("interrupted");
    const run = startGpt2([
      "generate",
      "The dog",
      ...MODEL,
      "--seed",
      "1",
      "--length",
      "50000",
      "--html",
      html,
    ]);
    await run.until(/ .* .* /);
    run.child.kill("SIGINT");
    const { code, stdout } = await run.ended;
    assert.equal(code, 130);
    assert.deepEqual(headings(html), ["Interrupted"]);
    const text = toldOf(html)[0] as unknown as { text: string }[];
    assert.equal(`The dog${text.map((piece) => piece.text).join("")}\n`, stdout);
  });

  test("Ctrl-C, prompts of a file: the page has the samples that were printed; none, no page", {
    skip: NO_SHELL,
  }, async () => {
    const { folder, html } = place("interrupted prompts");
    const prompts = join(TEMPORARY, "ctrl-c prompts.jsonl");
    const args = ["generate", ...MODEL, "--prompts", prompts, "--html", html];
    for (const isPrinted of [false, true]) {
      const first = isPrinted ? '{"prompt":"The cat","length":2}\n' : "";
      writeFileSync(prompts, `${first}{"prompt":"The dog","length":25000,"ignore_eos":true}\n`);
      const run = startGpt2([...args, "--length", "9000"]);
      await (isPrinted ? run.until(/PROMPT 1[\s\S]*\n[\s\S]*\n/) : run.until(/^seed /m, "stderr"));
      run.child.kill("SIGINT");
      const { code, stdout, stderr } = await run.ended;
      assert.equal(code, 130);
      assert.deepEqual(readdirSync(folder), isPrinted ? ["page.html"] : []);
      assert.equal(stderr.includes("wrote"), isPrinted, stderr);
      if (!isPrinted) assert.equal(stdout, "");
      else assert.deepEqual([headings(html), toldOf(html).length], [["Prompt 1, sample 1"], 1]);
    }
  });

  test("Ctrl-C before a text's score is printed: no page", { skip: NO_SHELL }, async () => {
    const { folder, html } = place("interrupted score");
    const env = {
      NODE_OPTIONS: `--import=${pathToFileURL(join(ROOT, "test", "support", "signal-at-step.mjs")).href}`,
      ...{ SIGNAL: "SIGINT", SIGNAL_STEP: "5", SIGNAL_IN: STORIES.folder, SIGNAL_LOG: `${folder}.log` },
    };
    const stopped = await gpt2(["score", ...MODEL, "--html", html], { stdin: "The dog ran.", env });
    assertFails(stopped, 130, /^gpt2: scoring stopped$/m);
    assert.deepEqual(readdirSync(folder), []);
  });

  test("a file that exists stays, unless --overwrite says otherwise", async () => {
    const { html } = place("existing");
    writeFileSync(html, "mine");
    const refused = /page\.html already exists: choose another --html, or pass --overwrite/;
    assertFails(await gpt2(["generate", "a", ...micro("--html", html)]), 1, refused);
    assertFails(await gpt2(["score", ...micro("--html", html)], { stdin: "a" }), 1, refused);
    assert.equal(readFileSync(html, "utf8"), "mine");
    assertDone(await gpt2(["score", ...micro("--html", html, "--overwrite")], { stdin: "a" }));
    assert.match(readFileSync(html, "utf8"), /^<!doctype html>/);
  });

  test("places where no file can be: one line with the name that was typed, before the model is loaded", async () => {
    const { folder } = place("places");
    writeFileSync(join(folder, "file"), "mine");
    mkdirSync(join(folder, "folder"));
    const cases: [string, RegExp][] = [
      ["folder", /^gpt2: folder is not a regular file: choose another --(html|attention)$/m],
      ["none/page.html", /^gpt2: cannot write none.page\.html: no such file or folder$/m],
      ["file/page.html", /^gpt2: cannot write file.page\.html: a part of the path is not a folder$/m],
    ];
    if (existsSync("/dev/full")) cases.push(["/dev/full", /\/dev\/full is not a regular file/]);
    for (const [path, pattern] of cases) {
      const args = ["--model_name", "no-such-model"];
      const generate = ["generate", "a", ...args, "--html", path, "--overwrite"];
      assertFails(await gpt2(generate, { cwd: folder }), 1, pattern);
      for (const option of ["--html", "--attention"])
        assertFails(await gpt2(["score", ...args, option, path], { stdin: "a", cwd: folder }), 1, pattern);
    }
    assert.deepEqual(readdirSync(folder).sort(), ["file", "folder"]);
    assert.deepEqual(
      [readFileSync(join(folder, "file"), "utf8"), readdirSync(join(folder, "folder"))],
      ["mine", []],
    );
  });

  test("--attention: what is printed is the same; what cannot be is refused before anything is written", async () => {
    const { folder, html } = place("attention");
    const file = join(folder, "attention.html");
    const stdin = "Once upon a time";
    const plain = await gpt2(["score", ...MODEL], { stdin });
    const both = await gpt2(["score", ...MODEL, "--attention", file, "--html", html], { stdin });
    assertDone(both);
    assert.equal(both.stdout, plain.stdout);
    assert.deepEqual(readdirSync(folder).sort(), ["attention.html", "page.html"]);
    const args = ["score", ...MODEL, "--attention"];
    assertFails(
      await gpt2([...args, file], { stdin }),
      1,
      /attention\.html already exists: choose another --attention/,
    );
    assertDone(await gpt2([...args, file, "--overwrite"], { stdin }));
    const other = join(folder, "other.html");
    const long = "The dog ran. ".repeat(60);
    const refused = /the text has \d+ tokens, and attention is shown for at most 128: give a shorter text/;
    assertFails(await gpt2([...args, other], { stdin: long }), 1, refused);
    const tfjs = ["score", ...micro("--backend", "tfjs", "--attention", other)];
    assertFails(await gpt2(tfjs, { stdin }), 1, /gives no attention weights: pass --backend wasm/);
    assertFails(await gpt2(["score", ...micro("--attention", other)], { stdin: long }), 1, /at most 63/);
    assertFails(await gpt2([...args, other, "--html", other], { stdin }), 2, /name the same file/);
    assertFails(
      await gpt2([...args, folder], { stdin }),
      1,
      /is not a regular file: choose another --attention/,
    );
    assert.deepEqual(readdirSync(folder).sort(), ["attention.html", "page.html"]);
  });

  test("what contradicts it: one line that says what to do, and no file", async () => {
    const { folder, html } = place("wrong");
    const out = join(folder, "out.txt");
    const page = micro("--html", html);
    const generate = ["generate", "a", ...page];
    const resumed = [...generate, "--resume", join(folder, "r.jsonl"), "--nsamples", "2"];
    assertFails(await gpt2(resumed), 2, /--html shows what one run writes: drop --html or --resume/);
    assertFails(await gpt2(["unconditional", ...page]), 2, /a page needs an end: pass --nsamples/);
    assertFails(await gpt2([...generate, "--out", html]), 2, /--html and --out name the same file/);
    assertFails(
      await gpt2(["score", ...micro("--overwrite")], { stdin: "a" }),
      2,
      /--overwrite goes with --html/,
    );
    const many = await gpt2([
      ...generate,
      "--seed",
      "1",
      "--length",
      "1000",
      "--nsamples",
      "51",
      "--out",
      out,
    ]);
    assertFails(many, 2, /at most 50000 tokens, and 51 samples of up to 1000 .* drop --html/);
    const own = join(TEMPORARY, "own lengths.jsonl");
    writeFileSync(own, '{"prompt":"a"}\n{"prompt":"a","length":30000}\n');
    const lengths = await gpt2(["generate", "--prompts", own, ...page, "--length", "9", "--seed", "1"]);
    assertFails(lengths, 2, /at most 50000 tokens, and 2 samples of up to 30000 /);
    const long = await gpt2(["score", ...page], { stdin: "a b c d e ".repeat(12_000) });
    assertFails(long, 1, /the text has \d+ tokens, and a page shows at most 50000: score a part/);
    assert.deepEqual(readdirSync(folder), []);
    const env = { GPT2_HTML: html };
    assertDone(await gpt2(["generate", "a", "--model_name", MICRO, "--length", "2"], { env }));
    assert.deepEqual(readdirSync(folder), []);
  });
});
