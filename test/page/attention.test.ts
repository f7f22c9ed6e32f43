/** The page that gpt2 score --attention writes, in a real browser. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { attention, loadModel } from "../../dist/src/index.js";
import { percent } from "../../dist/src/probability-scale.js";
import { STORIES } from "../support/models.js";
import { assertDone, gpt2, TEMPORARY } from "../support/spawn.js";
import { LOOKS, launch, look, NO_BROWSER, type Opened, open } from "./support/browser.js";

const MODEL = ["--model_name", STORIES.folder];
const TEXT = 'Lily had a red ball. She gave the ball to Tom, who said </script> & "é😀".\r\n';
type Weights = (layer: number, head: number, token: number) => number[];

describe("the page of --attention", { skip: NO_BROWSER, concurrency: false }, () => {
  const model = loadModel(STORIES.folder);
  const file = join(TEMPORARY, "attention.html");
  const long = join(TEMPORARY, "long attention.html");
  let browser: Browser;
  let weightsOf: Weights;
  let n: number;

  before(async () => {
    assertDone(await gpt2(["score", ...MODEL, "--attention", file], { stdin: TEXT, limit: 300 }));
    const { encoder } = await model;
    const text = encoder.decode(encoder.encode("The little dog ran to the park. ".repeat(40)).slice(0, 128));
    assertDone(await gpt2(["score", ...MODEL, "--attention", long], { stdin: text, limit: 300 }));
    const found = await attention(await model, TEXT);
    n = found.ids.length;
    weightsOf = (layer, head, token) => {
      const at = ((layer * found.n_head + head) * n + token) * n;
      return [...found.weights.subarray(at, at + token + 1)];
    };
    browser = await launch();
  });
  after(async () => {
    await browser.close();
    await (await model).dispose();
  });

  const visit = (name: string, options?: BrowserContextOptions): Promise<Opened> =>
    open(browser, pathToFileURL(name).href, options);

  /** The list of what the chosen token attends to most is the library's, in the order of its weights. */
  async function showsRow(page: Page, layer: number, head: number, token: number): Promise<void> {
    const weights = weightsOf(layer, head, token).sort((a, b) => b - a);
    const shown = await page.locator("#takes .number").allTextContents();
    const numbers = shown.map((text) => text.trim());
    assert.equal(numbers.length, Math.min(5, weights.length));
    for (const [i, number] of numbers.entries()) {
      const near = [-1, 0, 1].map((step) => percent(Math.max(0, weights[i] + step / 65535 / 2)));
      assert.ok(near.includes(number), `${number}, not ${near.join(" or ")}`);
    }
    const shades = await page
      .locator(".text .token")
      .evaluateAll((spans) => spans.map((span) => (span as HTMLElement).style.getPropertyValue("--share")));
    const own = weightsOf(layer, head, token);
    for (const [from, shade] of shades.entries()) {
      const near = [-1, 0, 1].map((step) => Math.round(((own[from] ?? 0) + step / 65535 / 2) * 100));
      assert.ok(near.includes(Number(shade.replace(/%$/, ""))), `${from}: ${shade}, not ${near[1]}%`);
    }
    assert.equal(await page.locator(".text .token.looked-at").count(), 1);
    assert.ok(
      await page
        .locator(".text .token")
        .nth(token)
        .evaluate((span) => span.matches(".looked-at")),
    );
  }

  test("by keyboard alone: layer, head, token; the numbers and the matrix are the library's", async () => {
    const { page, context, faults } = await visit(file);
    const { encoder } = await model;
    assert.equal(await page.locator(".text .token").count(), n);
    const told = JSON.parse((await page.locator("#data").textContent()) ?? "") as { tokens: object[] };
    const { ids } = await attention(await model, TEXT);
    const texts = ids.map((id) => encoder.decode([id]));
    assert.deepEqual(
      told.tokens,
      texts.map((text) => ({ text, isText: !text.includes("\ufffd") })),
    );
    assert.ok(
      texts.some((text) => text.includes("\ufffd")),
      "parts of characters",
    );
    await showsRow(page, 0, 0, n - 1);
    await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowDown");
    assert.deepEqual(
      [await page.getByLabel("Layer").inputValue(), await page.getByLabel("Head").inputValue()],
      ["2", "1"],
    );
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
    await showsRow(page, 2, 1, n - 4);
    const said = await page.getByRole("slider").getAttribute("aria-valuetext");
    assert.match(said ?? "", / attends to .+ [\d.]+%, .+ [\d.]+%, .+ [\d.]+%$/);
    const cells = Array.from({ length: n * n }, (_, i) => [(i % n) + 0.5, Math.floor(i / n) + 0.5]);
    // And just right of the diagonal, in the chosen row and in the one above it.
    const places = [...cells, ...[n - 4, n - 5].map((row) => [row + 1, row + 0.5])];
    const alphas = await page.locator("#matrix").evaluate(
      (element, { places, count }) => {
        const canvas = element as HTMLCanvasElement;
        const cell = canvas.width / count;
        const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
        return places.map(
          ([x, y]) => pixels?.[4 * (Math.floor(y * cell) * canvas.width + Math.floor(x * cell)) + 3] ?? -1,
        );
      },
      { places, count: n },
    );
    const frame = alphas.slice(n * n);
    assert.ok(frame[0] > 60 && frame[1] === 0, `the chosen row is framed: ${frame}`);
    for (let token = 0; token < n; token++) {
      const own = weightsOf(2, 1, token);
      for (let from = 0; from < n; from++) {
        const alpha = alphas[token * n + from];
        const wanted = 255 * (own[from] ?? 0);
        assert.ok(Math.abs(alpha - wanted) < 1.5, `${token} from ${from}: ${alpha}, not ${wanted}`);
      }
    }
    assert.deepEqual(faults, []);
    await context.close();
  });

  test("as lines: one for each weight from 1% on, as dense as it is large; a click chooses a row", async () => {
    const { page, context, faults } = await visit(file);
    await page.getByRole("radio", { name: "lines" }).check();
    assert.ok(await page.locator("#matrix").isHidden());
    const drawn = await page
      .locator("#lines line")
      .evaluateAll((lines) =>
        lines.map((line) => ["stroke-opacity", "y1", "y2"].map((name) => Number(line.getAttribute(name)))),
      );
    const all = Array.from({ length: n }, (_, token) =>
      weightsOf(0, 0, token).map((weight, from) => ({ weight, token, from })),
    ).flat();
    const wanted = all.filter(({ weight }) => Math.round(weight * 65535) / 65535 >= 0.01);
    assert.equal(drawn.length, wanted.length);
    for (const [i, [opacity, left, right]] of drawn.entries()) {
      const { weight, token, from } = wanted[i];
      assert.ok(Math.abs(opacity - weight) < 1e-5);
      assert.deepEqual([left, right], [(token + 0.5) * 20, (from + 0.5) * 20], "from the one to the other");
    }
    assert.equal(await page.locator("#lines text").count(), 2 * n);
    await page.locator("#lines text").nth(8).click();
    await showsRow(page, 0, 0, 4);
    await page.locator(".text .token").nth(6).hover();
    await showsRow(page, 0, 0, 6);
    assert.deepEqual(faults, []);
    await context.close();
  });

  for (const [name, options] of Object.entries(LOOKS)) {
    test(`${name}: readable, no wider than the window, open to everyone`, async () => {
      for (const [kind, one] of [
        ["short", file],
        ["long", long],
      ]) {
        const { page, context, faults } = await visit(one, options);
        assert.equal(await page.locator(".text .token").count(), kind === "short" ? n : 129);
        await look(page, `attention-${name}-${kind}-matrix`);
        await page.getByRole("radio", { name: "lines" }).check();
        await look(page, `attention-${name}-${kind}-lines`);
        assert.deepEqual(faults, []);
        await context.close();
      }
    });
  }
});
