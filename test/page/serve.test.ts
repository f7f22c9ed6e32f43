/** The page as `gpt2 serve` serves it, with a model that writes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { assertDone, gpt2, parseLines, ROOT, type Running, startGpt2 } from "../support/spawn.js";
import { launch, NO_BROWSER, open, until } from "./support/browser.js";

const STORIES = ["--model_name", join(ROOT, "models", "stories")];
const PROMPT = "Once upon a time, there was a tiny";

describe("the page of gpt2 serve", { skip: NO_BROWSER }, () => {
  let server: Running;
  let browser: Browser;
  let url: string;

  before(async () => {
    server = startGpt2(["serve", ...STORIES, "--port", "0"], { limit: 300 });
    browser = await launch();
    await server.until(/ready at http\S+\n/, "stderr");
    url = `${/ready at (http\S+)/.exec(server.stderr)?.[1]}/`;
  });
  after(async () => {
    await browser.close();
    server.child.kill("SIGINT");
    await server.ended;
  });

  /** What the command line writes with the page's first settings. */
  async function written(prompt: string, seed: number): Promise<string> {
    const options = ["--length", "60", "--temperature", "0.8", "--top_k", "40", "--format", "jsonl"];
    const outcome = await gpt2(["generate", prompt, ...STORIES, ...options, "--seed", String(seed)]);
    assertDone(outcome);
    return parseLines(outcome.stdout)[0].text;
  }

  test("writes the command line's text, with a colour for every token and alternatives to take", async () => {
    const { page, context, faults } = await open(browser, url);
    const text = (): Promise<string> => page.locator("#text").inputValue();
    const idle = (): Promise<void> =>
      until(
        "the end of the writing",
        async () => await page.locator("#clear[aria-disabled=false]").isVisible(),
      );
    const tokens = page.locator("#mirror .token");
    await page.locator("#text").fill(PROMPT);
    await page.keyboard.press("Control+Enter");
    await idle();
    const first = PROMPT + (await written(PROMPT, 1));
    assert.equal(await text(), first);
    assert.equal(await page.locator("#model").innerText(), "stories");
    assert.equal(PROMPT + (await tokens.allTextContents()).join(""), first);
    assert.match(await page.locator("#status").innerText(), /^60 tokens, seed 1\.$/);

    await page.getByRole("button", { name: "Try again" }).click();
    await idle();
    assert.equal(await text(), PROMPT + (await written(PROMPT, 2)));
    await page.locator("#text").focus();
    await page.keyboard.press("Control+Home");
    for (let i = 0; i < PROMPT.length + 1; i++) await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Alt+ArrowDown");
    const other = page.locator("#card button:not([aria-current])").first();
    const word = ((await other.locator("[aria-hidden]").textContent()) ?? "").replaceAll("␣", " ");
    await other.click();
    await idle();
    assert.equal(await text(), PROMPT + word + (await written(PROMPT + word, 2)));

    assert.deepEqual(faults, []);
    await context.close();
  });

  test("goes on with a text longer than the model's context", async () => {
    const { page, context, faults } = await open(browser, url, {}, /Failed to load resource/);
    await page.locator("#text").fill("The little dog ran to the park. ".repeat(60).trim());
    await page.keyboard.press("Control+Enter");
    await until("its words", async () =>
      /read the last \d+ characters/.test(await page.locator("#status").innerText()),
    );
    assert.deepEqual(faults, []);
    await context.close();
  });
});
