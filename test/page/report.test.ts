/** The pages that --html writes, in a real browser. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { generateSamples, loadModel, type Sample, score } from "../../dist/src/index.js";
import { levelOf } from "../../dist/src/probability-scale.js";
import { STORIES } from "../support/models.js";
import { assertDone, gpt2, TEMPORARY } from "../support/spawn.js";
import { LOOKS, launch, look, NO_BROWSER, type Opened, open } from "./support/browser.js";

const MODEL = ["--model_name", STORIES.folder];
const PROMPT = "Once upon a time";
const HOSTILE = '</script><script>alert(1)</script><!-- &amp; "é" 😀漢 <b>\r\n\u0000 <|endoftext|>';

/** A token as a page's script is told of it. */
interface Told {
  readonly text: string;
  readonly logprob: number;
  readonly id?: number;
  readonly rank?: number;
  readonly alternatives: readonly { readonly id: number; readonly text: string; readonly logprob: number }[];
}

const toldOf = async (page: Page): Promise<Told[][]> =>
  JSON.parse((await page.locator("#data").textContent()) ?? "") as Told[][];

describe("the pages of --html", { skip: NO_BROWSER, concurrency: false }, () => {
  const model = loadModel(STORIES.folder);
  const written = join(TEMPORARY, "written.html");
  const scored = join(TEMPORARY, "scored.html");
  const samples: Sample[] = [];
  let browser: Browser;

  before(async () => {
    const options = ["--seed", "1", "--length", "60", "--nsamples", "2"];
    assertDone(await gpt2(["generate", PROMPT, ...MODEL, ...options, "--html", written], { limit: 300 }));
    const text = join(TEMPORARY, "hostile.txt");
    writeFileSync(text, HOSTILE);
    assertDone(await gpt2(["score", text, ...MODEL, "--html", scored], { limit: 300 }));
    for await (const sample of generateSamples(await model, PROMPT, {
      ...{ seed: 1, length: 60, nsamples: 2, logprobs: 5 },
    }))
      samples.push(sample);
    browser = await launch();
  });
  after(async () => {
    await browser.close();
    await (await model).dispose();
  });

  const visit = (file: string, options?: BrowserContextOptions): Promise<Opened> =>
    open(browser, pathToFileURL(file).href, options);

  test("generate: each sample's text in the colours of its tokens; the numbers are the library's", async () => {
    const { page, context, faults } = await visit(written);
    assert.deepEqual(await page.locator("h2").allTextContents(), ["Sample 1", "Sample 2"]);
    const told = await toldOf(page);
    for (const [i, { text, token_logprobs = [] }] of samples.entries()) {
      const section = page.locator("section").nth(i);
      assert.equal(await section.locator(".text").textContent(), PROMPT + text);
      const tokens = section.locator(".token");
      assert.deepEqual(
        await tokens.allTextContents(),
        token_logprobs.map((token) => token.text),
      );
      assert.deepEqual(
        await tokens.evaluateAll((spans) => spans.map((span) => span.className)),
        token_logprobs.map(({ logprob }) => `token level-${levelOf(Math.exp(logprob))}`),
      );
      assert.deepEqual(
        told[i].map(({ id, rank, logprob, alternatives }) => [
          id,
          rank,
          logprob,
          alternatives.map((a) => [a.id, a.logprob]),
        ]),
        token_logprobs.map(({ id, rank, logprob, top }) => [
          id,
          rank,
          logprob,
          top.map((a) => [a.id, a.logprob]),
        ]),
      );
      const bits = token_logprobs.map(({ logprob }) => -logprob / Math.LN2);
      const mean = bits.reduce((sum, each) => sum + each, 0) / bits.length;
      const caption = `Surprise, bits a token: ${mean.toFixed(2)} on average, ${Math.max(...bits).toFixed(1)} at most`;
      assert.equal(await section.locator("figcaption").textContent(), caption);
      const path = (await section.locator(".curve path").getAttribute("d")) ?? "";
      assert.deepEqual(
        [...path.matchAll(/v-(\d+\.\d\d)h1/g)].map(([, height]) => height),
        bits.map((each) => each.toFixed(2)),
      );
    }
    assert.deepEqual(faults, []);
    await context.close();
  });

  test("by keyboard alone: Tab to a text, arrows from token to token, Escape", async () => {
    const { page, context, faults } = await visit(written, { viewport: { width: 500, height: 330 } });
    const card = page.locator("#card");
    const [{ token_logprobs: first = [] }, { token_logprobs: second = [] }] = samples;
    const name = (text: string): string => text.replaceAll(" ", "␣").replaceAll("\n", "↵");
    const shows = async ({ text, rank, logprob, top }: (typeof first)[number]): Promise<void> => {
      assert.equal(
        await card.locator("#card-title").textContent(),
        `${Math.abs(logprob / Math.LN2).toFixed(1)} bits, rank ${rank}`,
      );
      const words = card.locator(".word [aria-hidden]");
      const listed = top.map((each) => name(each.text));
      if (rank > 5) listed.push(name(text));
      assert.deepEqual(await words.allTextContents(), listed);
      assert.deepEqual(await card.locator("[aria-current] .word [aria-hidden]").allTextContents(), [
        name(text),
      ]);
      assert.equal(await page.locator(".looked-at").textContent(), text);
    };
    assert.ok(await card.isHidden());
    await page.keyboard.press("Tab");
    await shows(first[0]);
    for (let i = 1; i < 12; i++) {
      await page.keyboard.press("ArrowRight");
      await shows(first[i]);
    }
    assert.equal(await page.locator(".mark").first().getAttribute("transform"), "translate(11.5)");
    assert.ok(first.slice(0, 12).some(({ rank }) => rank > 5));
    const said = await page.locator("section").first().getByRole("slider").getAttribute("aria-valuetext");
    assert.match(said ?? "", /: [\d.]+%, [\d.]+ bits, rank \d+$/);
    await page.keyboard.press("End");
    await shows(first[first.length - 1]);
    assert.ok(await page.locator(".looked-at").evaluate(isInSight));
    const [own, beside] = [await page.locator(".looked-at").boundingBox(), await card.boundingBox()];
    assert.ok(own && beside);
    const gap = Math.max(beside.y - own.y - own.height, own.y - beside.y - beside.height);
    assert.ok(gap >= 0 && gap < 20, `the card is ${gap} pixels from its token`);
    await page.keyboard.press("Tab");
    await shows(second[0]);
    await page.keyboard.press("Escape");
    assert.ok(await card.isHidden());
    assert.deepEqual(faults, []);
    await context.close();
  });

  test("by mouse: pointing opens a card, the curve too, a click keeps it", async () => {
    const { page, context, faults } = await visit(written);
    const card = page.locator("#card");
    const token = page.locator(".text .token").nth(4);
    await token.hover();
    await card.waitFor();
    assert.match((await card.textContent()) ?? "", new RegExp(`rank ${samples[0].token_logprobs?.[4].rank}`));
    await page.locator("h1").hover();
    await card.waitFor({ state: "hidden" });
    await page
      .locator(".curve")
      .first()
      .hover({ position: { x: 2, y: 20 } });
    await card.waitFor();
    assert.equal(await page.locator(".looked-at").textContent(), samples[0].token_logprobs?.[0].text);
    const { length } = samples[0].token_logprobs ?? [];
    const { width } = (await page.locator(".curve").first().boundingBox())!;
    const position = { x: (width * 40.5) / length, y: 20 };
    await page.locator(".curve").first().hover({ position });
    assert.equal(await page.locator(".looked-at").textContent(), samples[0].token_logprobs?.[40].text);
    await token.click();
    await page.locator("h1").hover();
    assert.equal(await page.locator(".looked-at").textContent(), samples[0].token_logprobs?.[4].text);
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.locator(".looked-at").textContent(), samples[0].token_logprobs?.[5].text);
    await page.locator("section").nth(1).locator(".text .token").nth(3).click();
    await token.hover();
    await page.locator("h1").hover();
    assert.equal(
      await page.locator("section").first().locator(".looked-at").count(),
      0,
      "the other is kept now",
    );
    assert.deepEqual(faults, []);
    await context.close();
  });

  test("score: any text is text, whatever it looks like; half characters are joined", async () => {
    const { page, context, faults } = await visit(scored);
    const shown = await page.locator(".text").evaluate((element) => element.textContent);
    assert.equal(shown, HOSTILE.replace("\u0000", "\u2400"));
    assert.equal(await page.locator("h1").textContent(), "hostile.txt");
    const { token_logprobs = [], total, perplexity } = await score(await model, HOSTILE, { top: 5 });
    const summary = (await page.locator("header p").textContent()) ?? "";
    assert.ok(
      summary.startsWith(`stories: ${token_logprobs.length} tokens, total ${total.toFixed(4)}, `),
      summary,
    );
    assert.ok(summary.includes(`perplexity ${perplexity.toFixed(4)}, `), summary);
    const [told] = await toldOf(page);
    assert.equal(told.map(({ text }) => text).join(""), HOSTILE);
    const sum = told.reduce((all, { logprob }) => all + logprob, 0);
    assert.ok(Math.abs(sum - total) < 1e-9);
    const emoji = told.find(({ text }) => text.includes("😀"));
    assert.ok(emoji && emoji.id === undefined && emoji.rank === undefined, "several tokens");
    const whole = token_logprobs.find(({ text }) => text === "script");
    assert.deepEqual(
      told.find(({ text }) => text === "script")?.alternatives.map(({ id, logprob }) => [id, logprob]),
      whole?.top.map(({ id, logprob }) => [id, logprob]),
    );
    assert.deepEqual(faults, []);
    await context.close();
  });

  test("without its script the texts and their curves are there", async () => {
    const { page, context, faults } = await visit(written, { javaScriptEnabled: false });
    assert.ok(await page.locator(".text").first().isVisible());
    assert.ok(await page.locator(".curve").first().isVisible());
    assert.ok(await page.locator(".place").first().isHidden());
    assert.deepEqual(faults, []);
    await context.close();
  });

  for (const [name, options] of Object.entries(LOOKS)) {
    test(`${name}: readable, no wider than the window, open to everyone`, async () => {
      for (const file of [written, scored]) {
        const { page, context, faults } = await visit(file, options);
        const token = page.locator(".text .token").nth(9);
        if (name.startsWith("phone")) await token.tap();
        else await token.click();
        await page.locator("#card").waitFor();
        await look(page, `report-${name}-${file === written ? "generate" : "score"}`);
        assert.deepEqual(faults, []);
        await context.close();
      }
    });
  }
});

/** Whether an element is in the window and nothing but the card covers it. */
function isInSight(element: Element): boolean {
  const { left, top, width, height } = element.getBoundingClientRect();
  return document.elementFromPoint(left + width / 2, top + height / 2) === element;
}
