/** The page in a real browser, against a server that answers as it is told to. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { launch, look, NO_BROWSER, type Opened, open, takePicture, until } from "./support/browser.js";
import { FakeServer, type FakeToken, fail, send } from "./support/fake-server.js";

const PHONE: BrowserContextOptions = {
  viewport: { width: 360, height: 740 },
  hasTouch: true,
  isMobile: true,
};

const textOf = (page: Page): Promise<string> => page.locator("#text").inputValue();
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: false });
const isUsable = async (page: Page, name: string): Promise<boolean> =>
  (await button(page, name).getAttribute("aria-disabled")) === "false";
/** The model has written. */
const idle = (page: Page): Promise<void> => until("the end of the writing", () => isUsable(page, "Clear"));
const tokensOf = (page: Page): Promise<string[]> => page.locator("#mirror .token").allTextContents();

describe("the page", { skip: NO_BROWSER, concurrency: false }, () => {
  let browser: Browser;
  let server: FakeServer;
  let opened: Opened[] = [];
  let allowed = /^$/;

  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());
  beforeEach(async () => {
    server = await FakeServer.start();
    opened = [];
    allowed = /^$/;
  });
  afterEach(async () => {
    const faults = opened.flatMap((one) => one.faults).filter((fault) => !allowed.test(fault));
    for (const { context } of opened) await context.close();
    await server.stop();
    assert.deepEqual(faults, []);
  });

  async function visit(options: BrowserContextOptions = {}, url = server.url): Promise<Page> {
    const one = await open(browser, url, options);
    opened.push(one);
    await one.page.locator("#levels li").last().waitFor();
    return one.page;
  }

  /** A page on which someone has written and let the model continue. */
  async function written(options: BrowserContextOptions = {}, prompt = "Once upon a time"): Promise<Page> {
    const page = await visit(options);
    await page.locator("#text").fill(prompt);
    await page.locator("#text").press("Control+Enter");
    await idle(page);
    return page;
  }

  describe("writing", () => {
    test("Ctrl-Enter lets the model continue; each token is coloured", async () => {
      const page = await written();
      const text = await textOf(page);
      assert.match(text, /^Once upon a time\S* /);
      assert.equal(`Once upon a time${(await tokensOf(page)).join("")}`, text);
      assert.equal((await tokensOf(page)).length, 60);
      const [asked] = server.asked;
      assert.deepEqual(
        [asked.prompt, asked.seed, asked.max_tokens, asked["temperature"], asked["top_k"], asked["stream"]],
        ["Once upon a time", 1, 60, 0.8, 40, true],
      );
      assert.match(await page.locator("#status").innerText(), /60 tokens, seed 1\./);
      assert.equal(
        (await page.locator("#said").textContent())?.trim(),
        text.slice("Once upon a time".length).trim(),
      );
      assert.equal(await page.locator("#model").innerText(), "hat");
    });

    test("Stop, and Escape, end it; what came is kept, and so is the connection's end", async () => {
      server.holdAfter = 3;
      const page = await visit();
      await page.locator("#text").fill("A");
      for (const [round, end] of [
        () => button(page, "Stop").click(),
        () => page.keyboard.press("Escape"),
      ].entries()) {
        await button(page, "Continue").click();
        await until("three tokens", async () => (await tokensOf(page)).length === 3 * (round + 1));
        assert.equal(await isUsable(page, "Continue"), false);
        await end();
        await idle(page);
        assert.equal((await tokensOf(page)).length, 3 * (round + 1));
        await until("the end of the connection", async () => server.cancelled === round + 1);
      }
    });

    test("Undo and Redo, by button and by Ctrl-Z, go through writing and generation alike", async () => {
      const page = await written();
      const text = await textOf(page);
      const field = page.locator("#text");
      await field.press("Control+End");
      await field.pressSequentially(" The end.");
      assert.equal(await textOf(page), `${text} The end.`);
      await field.press("Control+z");
      assert.equal(await textOf(page), text);
      assert.equal((await tokensOf(page)).length, 60);
      await button(page, "Undo").click();
      assert.equal(await textOf(page), "Once upon a time");
      assert.deepEqual(await tokensOf(page), []);
      await button(page, "Redo").click();
      await field.press("Control+Shift+z");
      assert.equal(await textOf(page), `${text} The end.`);
      assert.equal((await tokensOf(page)).length, 60);
      await button(page, "Clear").click();
      assert.equal(await textOf(page), "");
      await button(page, "Undo").click();
      assert.equal(await textOf(page), `${text} The end.`);
    });

    test("a change takes the colours of the tokens behind it", async () => {
      const page = await written();
      const tokens = await tokensOf(page);
      const field = page.locator("#text");
      const place = `Once upon a time${tokens.slice(0, 10).join("")}`.length;
      await field.evaluate(
        (element, at) => (element as HTMLTextAreaElement).setSelectionRange(at, at),
        place,
      );
      await field.pressSequentially("!");
      assert.deepEqual(await tokensOf(page), tokens.slice(0, 10));
      assert.equal((await textOf(page)).replace("!", ""), `Once upon a time${tokens.join("")}`);
    });

    test("Try again takes the next seed; the text before is one Undo away", async () => {
      const page = await written();
      const first = await textOf(page);
      await button(page, "Try again").click();
      await idle(page);
      assert.deepEqual(
        server.asked.map(({ prompt, seed }) => [prompt, seed]),
        [
          ["Once upon a time", 1],
          ["Once upon a time", 2],
        ],
      );
      assert.equal(await page.getByLabel("Seed", { exact: true }).inputValue(), "2");
      const second = await textOf(page);
      assert.notEqual(second, first);
      await button(page, "Undo").click();
      assert.equal(await textOf(page), first);
      assert.equal(await page.getByLabel("Seed", { exact: true }).inputValue(), "1");
      await button(page, "Redo").click();
      assert.equal(await textOf(page), second);
      await button(page, "Try again").click();
      await idle(page);
      assert.equal(server.asked[2].seed, 3);
    });

    test("settings are what is asked with; one that cannot be is not, and says what it must be", async () => {
      const page = await visit();
      const temperature = page.getByLabel("Temperature");
      await page.locator("#text").fill("A");
      await temperature.fill("9");
      await button(page, "Continue").click();
      assert.equal(await temperature.getAttribute("aria-invalid"), "true");
      assert.equal(await temperature.evaluate((element) => element === document.activeElement), true);
      assert.match(await page.locator("#set-temperature-words").innerText(), /a number from 0 to 5/);
      assert.deepEqual(server.asked, []);
      await temperature.fill("0.35");
      await page.getByLabel("Length").fill("7");
      await page.getByLabel("Top p").fill("0.9");
      await page.getByLabel("Stop before").fill("\\n");
      await page.getByLabel("Seed", { exact: true }).fill("99");
      await page.locator("#text").press("Control+Enter");
      await idle(page);
      const { temperature: t, max_tokens, top_p, stop, seed } = server.asked[0];
      assert.deepEqual([t, max_tokens, top_p, stop, seed], [0.35, 7, 0.9, ["\n"], 99]);
      await page.getByText("Reset settings").click();
      assert.equal(await temperature.inputValue(), "0.8");
    });

    test("a space at the end is remarked", async () => {
      const page = await visit();
      await page.locator("#text").fill("Once ");
      assert.match(await page.locator("#here").innerText(), /ends in a space/);
      await page.locator("#text").fill("Once");
      assert.equal(await page.locator("#here").innerText(), "");
    });

    test("of a text longer than the model's context it reads the end, and says so", async () => {
      allowed = /Failed to load resource/;
      server.instead = ({ prompt }, response) =>
        prompt.length > 60 && fail(response, 400, { message: "too long", code: "context_length_exceeded" });
      const text = "Many words of a long story. ".repeat(10).trim();
      const page = await written({}, text);
      const { prompt } = server.asked[server.asked.length - 1];
      assert.ok(prompt.length > 20 && prompt.length <= 60 && text.endsWith(prompt), prompt);
      assert.ok((await textOf(page)).startsWith(`${text}${(await tokensOf(page))[0]}`));
      assert.match(
        await page.locator("#status").innerText(),
        new RegExp(`read the last ${prompt.length} characters`),
      );
    });

    test("parts of a character are one token", async () => {
      const part = (name: string): FakeToken => ({
        name,
        probability: 0.5,
        top: { [name]: Math.log(0.5), " no": -2 },
      });
      server.tokens = [
        part(" ok"),
        part("bytes:\\xf0\\x9f"),
        part("bytes:\\x99"),
        part("bytes:\\x82"),
        part(" yes"),
      ];
      const page = await written({}, "A");
      assert.equal(await textOf(page), "A ok🙂 yes");
      assert.deepEqual(await tokensOf(page), [" ok", "🙂", " yes"]);
    });
  });

  describe("candidates", () => {
    test("two or four side by side, each with its seed; one is taken by a click or its number", async () => {
      const page = await visit();
      await page.locator("#text").fill("A");
      await page.getByLabel("2", { exact: true }).check();
      await button(page, "Continue").click();
      await button(page, "Take 2").waitFor();
      await until("the end", async () => await button(page, "Take 2").isEnabled());
      assert.deepEqual(server.asked.map(({ seed }) => seed).sort(), [1, 2]);
      const texts = await page.locator(".continuation").allTextContents();
      assert.notEqual(texts[0], texts[1]);
      assert.equal(await textOf(page), "A");
      await page.reload();
      assert.deepEqual(await page.locator(".continuation").allTextContents(), texts);
      await button(page, "Take 2").click();
      assert.equal(await textOf(page), `A${texts[1]}`);
      assert.equal((await tokensOf(page)).join(""), texts[1]);
      assert.equal(await page.getByLabel("Seed", { exact: true }).inputValue(), "2");
      await button(page, "Undo").click();
      assert.deepEqual(await page.locator(".continuation").allTextContents(), texts);
      await page.locator("#text").press("1");
      assert.equal(await textOf(page), `A${texts[0]}`);
      await page.getByLabel("4", { exact: true }).check();
      await button(page, "Try again").click();
      await until("four", async () => await button(page, "Take 4").isEnabled());
      assert.deepEqual(
        server.asked
          .slice(2)
          .map(({ prompt, seed }) => [prompt, seed])
          .sort(),
        [3, 4, 5, 6].map((seed) => ["A", seed]),
      );
      await button(page, "Undo").click();
      assert.equal(await textOf(page), `A${texts[0]}`);
    });
  });

  describe("alternatives", () => {
    test("by mouse: shown over a token; a click takes one, and the model continues from there", async () => {
      const page = await written();
      const tokens = await tokensOf(page);
      const span = page.locator("#mirror .token").nth(5);
      const box = await span.boundingBox();
      assert.ok(box);
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      const card = page.getByRole("dialog", { name: "Alternatives at this point" });
      await card.waitFor();
      const rows = card.getByRole("button");
      assert.equal(await rows.count(), 5);
      assert.match(await rows.first().innerText(), /\d%/);
      assert.equal(
        await card.locator("[aria-current] .word [aria-hidden]").innerText(),
        tokens[5].replace(" ", "␣"),
      );
      const other = card.locator("button:not([aria-current])").first();
      const word = (await other.locator(".word [aria-hidden]").innerText()).replace("␣", " ");
      await other.click();
      await until("another answer", async () => server.asked.length === 2);
      await idle(page);
      const prompt = `Once upon a time${tokens.slice(0, 5).join("")}${word}`;
      assert.equal(server.asked[1].prompt, prompt);
      assert.ok((await textOf(page)).startsWith(prompt));
      assert.deepEqual((await tokensOf(page)).slice(0, 6), [...tokens.slice(0, 5), word]);
      assert.equal((await tokensOf(page)).length, 66);
      await button(page, "Undo").click();
      assert.deepEqual(await tokensOf(page), tokens);
    });

    test("the card goes when the mouse does, stays while it is in the card, and when it was clicked for", async () => {
      const page = await written();
      const card = page.locator("#card");
      const centre = async (index: number): Promise<[number, number]> => {
        const box = await page.locator("#mirror .token").nth(index).boundingBox();
        assert.ok(box);
        return [box.x + box.width / 2, box.y + box.height / 2];
      };
      await page.mouse.move(...(await centre(3)));
      await card.waitFor();
      const box = await card.boundingBox();
      assert.ok(box);
      await page.mouse.move(box.x + 40, box.y + 40, { steps: 3 });
      assert.equal(await card.isVisible(), true);
      await page.mouse.move(640, 5);
      await card.waitFor({ state: "hidden" });
      await page.mouse.click(...(await centre(3)));
      await card.waitFor();
      await page.mouse.move(640, 5);
      await page.keyboard.press("Escape");
      await card.waitFor({ state: "hidden" });
      assert.equal((await tokensOf(page)).length, 60);
    });

    test("by a finger: a tap on a token shows them, another takes one", async () => {
      const page = await written(PHONE);
      const tokens = await tokensOf(page);
      const box = await page.locator("#mirror .token").nth(4).boundingBox();
      assert.ok(box);
      await page.touchscreen.tap(box.x + box.width / 2, box.y + box.height / 2);
      const card = page.locator("#card");
      await card.waitFor();
      await card.locator("button:not([aria-current])").first().tap();
      await until("another answer", async () => server.asked.length === 2);
      assert.ok(server.asked[1].prompt.startsWith(`Once upon a time${tokens.slice(0, 4).join("")}`));
      await idle(page);
    });

    test("a part of a character is shown and cannot be taken", async () => {
      const top = { "bytes:\\xe2\\x80": -0.5, " a": -1, "<|endoftext|>": -3 };
      server.tokens = [{ name: " a", probability: 0.3, top }];
      const page = await written({}, "A");
      await page.locator("#text").press("Alt+ArrowDown");
      const card = page.locator("#card");
      await card.waitFor();
      assert.deepEqual(await card.locator("span.row .word, .word [aria-hidden]").allInnerTexts(), [
        "(part of a character)",
        "␣a",
        "(end of the text)",
      ]);
      assert.equal(await card.getByRole("button").count(), 1);
    });
  });

  test("everything by keyboard alone", async () => {
    const page = await visit();
    const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.id ?? "");
    assert.equal(await focused(), "text");
    await page.keyboard.type("Once upon a time");
    const seen: string[] = [];
    for (let i = 0; i < 24; i++) {
      await page.keyboard.press("Tab");
      seen.push((await focused()) || (await page.evaluate(() => document.activeElement?.tagName ?? "")));
    }
    for (const id of [
      "go",
      "stop",
      "retry",
      "undo",
      "redo",
      "clear",
      "link",
      "marks",
      "set-seed",
      "set-stop",
    ]) {
      assert.ok(seen.includes(id), `Tab never comes to #${id}: ${seen}`);
    }
    await page.locator("#text").focus();
    await page.keyboard.press("Control+Enter");
    await idle(page);
    const tokens = await tokensOf(page);
    await page.keyboard.press("Control+Home");
    for (let i = 0; i < "Once upon a time".length + 1; i++) await page.keyboard.press("ArrowRight");
    // Browsers report a moved cursor after the key was handled.
    const first = `“${tokens[0].replace(" ", "␣")}” `;
    await until("the first token", async () => (await page.locator("#here").innerText()).startsWith(first));
    await page.keyboard.press("Alt+ArrowDown");
    const isOwn = (): Promise<boolean> =>
      page.evaluate(() => document.activeElement?.matches("#card [aria-current]") ?? false);
    assert.equal(await isOwn(), true);
    await page.keyboard.press("ArrowDown");
    assert.match(await page.locator(":focus").ariaSnapshot(), /^- button "\S.*, [\d.]+%"$/);
    await page.keyboard.press("Escape");
    assert.equal(await focused(), "text");
    await page.keyboard.press("Alt+ArrowDown");
    await page.keyboard.press("ArrowDown");
    const word = await page.evaluate(
      () => document.activeElement?.querySelector(".word [aria-hidden]")?.textContent,
    );
    await page.keyboard.press("Enter");
    await until("another answer", async () => server.asked.length === 2);
    assert.equal(server.asked[1].prompt, `Once upon a time${word?.replace("␣", " ")}`);
    await idle(page);
    assert.equal(await focused(), "text");
  });

  describe("nothing is lost", () => {
    test("a reload keeps the text, its colours, the settings and what can be undone", async () => {
      const page = await written();
      const [text, tokens] = [await textOf(page), await tokensOf(page)];
      await page.getByLabel("Top k").fill("7");
      await page.locator("#text").press("Control+End");
      await page.locator("#text").pressSequentially(" More");
      await page.reload();
      assert.equal(await textOf(page), `${text} More`);
      assert.deepEqual(await tokensOf(page), tokens);
      assert.equal(await page.getByLabel("Top k").inputValue(), "7");
      await button(page, "Undo").click();
      await button(page, "Undo").click();
      assert.equal(await textOf(page), "Once upon a time");
    });

    test("a reload in the middle of an answer keeps what had come", async () => {
      server.holdAfter = 4;
      const page = await visit();
      await page.locator("#text").fill("A");
      await button(page, "Continue").click();
      await until("four tokens", async () => (await tokensOf(page)).length === 4);
      const text = await textOf(page);
      await page.reload();
      assert.equal(await textOf(page), text);
      assert.equal(await isUsable(page, "Continue"), true);
    });

    test("two tabs keep two texts; a new one begins with the last", async () => {
      const first = await visit();
      await first.locator("#text").fill("one");
      const second = await opened[0].context.newPage();
      await second.goto(server.url);
      assert.equal(await textOf(second), "one");
      await second.locator("#text").fill("two");
      // As where the system ends a tab without a word to it:
      await first.evaluate(() =>
        addEventListener("pagehide", (event) => event.stopImmediatePropagation(), true),
      );
      await first.reload();
      assert.equal(await textOf(first), "one");
      await second.reload();
      assert.equal(await textOf(second), "two");
    });
  });

  describe("links", () => {
    test("a link makes the same text again, with its settings; one's own text is kept", async () => {
      const page = await visit({ permissions: ["clipboard-read", "clipboard-write"] });
      await page.getByLabel("Temperature").fill("0.5");
      await page.getByLabel("Seed", { exact: true }).fill("41");
      await page.getByLabel("Length").fill("12");
      await page.locator("#text").fill("A “quote” & more\nlines #1");
      await button(page, "Continue").click();
      await idle(page);
      await button(page, "Try again").click();
      await idle(page);
      const text = await textOf(page);
      await button(page, "Copy link").click();
      await until("the link", async () => /Link copied/.test(await page.locator("#status").innerText()));
      const link = await page.evaluate(() => navigator.clipboard.readText());
      const other = await visit({}, link);
      await until("the link's request", async () => server.asked.length === 3);
      await idle(other);
      assert.equal(await textOf(other), text);
      assert.equal(other.url(), server.url);
      assert.equal(await other.getByLabel("Temperature").inputValue(), "0.5");
      assert.equal(await other.getByLabel("Seed", { exact: true }).inputValue(), "42");
      const { prompt, seed, temperature, max_tokens } = server.asked[2];
      assert.deepEqual(
        { prompt, seed, temperature, max_tokens },
        {
          prompt: "A “quote” & more\nlines #1",
          seed: 42,
          temperature: 0.5,
          max_tokens: 12,
        },
      );
      await other.reload();
      assert.equal(await textOf(other), text);
      assert.equal(server.asked.length, 3);
      // Opened where something else was being written:
      await other.locator("#text").fill("My own");
      await other.goto(link);
      await until("the link's request again", async () => server.asked.length === 4);
      await idle(other);
      assert.equal(await textOf(other), text);
      assert.match(await other.locator("#status").innerText(), /Undo twice/);
      await button(other, "Undo").click();
      await button(other, "Undo").click();
      assert.equal(await textOf(other), "My own");
    });

    test("a text that was stopped has a link that stops there", async () => {
      server.holdAfter = 5;
      const page = await visit({ permissions: ["clipboard-read", "clipboard-write"] });
      await page.locator("#text").fill("A");
      await button(page, "Continue").click();
      await until("five tokens", async () => (await tokensOf(page)).length === 5);
      await page.keyboard.press("Escape");
      await idle(page);
      await button(page, "Copy link").click();
      await until("the link", async () => /Link copied/.test(await page.locator("#status").innerText()));
      const link = await page.evaluate(() => navigator.clipboard.readText());
      assert.equal(new URLSearchParams(new URL(link).hash.slice(1)).get("max_tokens"), "5");
    });

    test("where there is no clipboard the link is shown; another model is remarked", async () => {
      const page = await written();
      await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
      await button(page, "Copy link").click();
      const link = await page.getByLabel("Link to this text").inputValue();
      assert.match(link, /#prompt=Once\+upon\+a\+time&seed=1&.*model=hat$/);
      server.model = "cap";
      const other = await visit({}, link);
      await until("the link's request", async () => server.asked.length === 2);
      await idle(other);
      assert.match(await other.locator("#status").innerText(), /made with hat; this is cap/);
    });
  });

  describe("failures are one line that says what to do", () => {
    const faultOf = async (page: Page): Promise<string> => {
      await until("a line", async () => (await page.getByRole("alert").innerText()) !== "");
      return page.getByRole("alert").innerText();
    };

    test("a full queue, a request that is refused, a context that is too short", async () => {
      allowed = /Failed to load resource/;
      const answers: [number, object, object, RegExp][] = [
        [429, { message: "queue full" }, { "Retry-After": "3" }, /busy\. Try again in 3 seconds\./],
        [400, { message: "stop must not be empty" }, {}, /^Stop must not be empty\.$/],
        [500, {}, {}, /error 500/],
      ];
      const page = await visit();
      for (const [status, error, headers, line] of answers) {
        server.instead = (_, response) => fail(response, status, error, headers);
        await page.locator("#text").fill(`A ${status}`);
        await button(page, "Continue").click();
        assert.match(await faultOf(page), line);
        assert.equal(await textOf(page), `A ${status}`);
        assert.equal(await isUsable(page, "Continue"), true);
      }
      server.instead = () => false;
      await button(page, "Continue").click();
      await idle(page);
      assert.equal(await page.getByRole("alert").innerText(), "");
    });

    test("a server that breaks off, or is gone: the text is kept", async () => {
      allowed = /Failed to load resource|ERR_/;
      let half: ServerResponse | undefined;
      const page = await visit();
      await page.locator("#text").fill("A");
      server.instead = (_, response) => {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        send(response, { text: " word", logprobs: null });
        half = response;
        return true;
      };
      await button(page, "Continue").click();
      await until("the word", async () => (await textOf(page)) === "A word");
      half?.destroy();
      assert.match(await faultOf(page), /stopped in the middle/);
      assert.equal(await textOf(page), "A word");
      await server.stop();
      await button(page, "Continue").click();
      await until("the line", async () => /does not answer/.test(await page.getByRole("alert").innerText()));
      assert.equal(await textOf(page), "A word");
      server = await FakeServer.start(); // for afterEach
    });

    test("a model that ends the text at once is no failure of the server's", async () => {
      server.tokens = [];
      const page = await visit();
      await page.locator("#text").fill("The end.");
      await button(page, "Continue").click();
      assert.match(await faultOf(page), /ends the text here\. Write more yourself/);
      assert.equal(await textOf(page), "The end.");
      await button(page, "Undo").click();
      assert.equal(await textOf(page), "");
    });

    test("a server that fails in the middle says why", async () => {
      const page = await visit();
      await page.locator("#text").fill("A");
      server.instead = (_, response) => {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        send(response, { text: " word", logprobs: null });
        response.end(`data: ${JSON.stringify({ error: { message: "out of memory" } })}\n\n`);
        return true;
      };
      await button(page, "Continue").click();
      assert.equal(await faultOf(page), "Out of memory.");
      assert.equal(await textOf(page), "A word");
    });

    test("a key is asked for, kept for the tab, and the request is then made", async () => {
      allowed = /Failed to load resource/;
      server.key = "secret";
      const page = await visit();
      const field = page.getByLabel("API key");
      await field.waitFor();
      assert.match(await faultOf(page), /needs its API key/);
      await page.locator("#text").fill("A");
      await page.locator("#text").press("Control+Enter");
      await until("the focus", async () => field.evaluate((element) => element === document.activeElement));
      await field.fill("wrong");
      await field.press("Enter");
      await until("the line", async () => /not this server's key/.test(await faultOf(page)));
      await field.fill("secret");
      await field.press("Enter");
      await idle(page);
      await until("the text", async () => (await tokensOf(page)).length === 60);
      assert.equal(await field.isVisible(), false);
      await page.reload();
      await until("the model's name", async () => (await page.locator("#model").innerText()) === "hat");
      assert.equal(await field.isVisible(), false);
      const stores = await page.evaluate(() => [
        JSON.stringify(localStorage),
        JSON.stringify(sessionStorage),
      ]);
      assert.deepEqual(
        stores.map((store) => store.includes("secret")),
        [false, true],
      );
    });
  });

  describe("what it looks like", () => {
    const looks: Readonly<Record<string, BrowserContextOptions>> = {
      light: { colorScheme: "light" },
      dark: { colorScheme: "dark" },
      phone: { ...PHONE, colorScheme: "light" },
      "phone-dark": { ...PHONE, colorScheme: "dark" },
    };
    for (const [name, options] of Object.entries(looks)) {
      test(`${name}: in every state`, async () => {
        const page = await visit(options);
        await look(page, `${name}-empty`);
        await page.locator("#text").fill("Once upon a time there was a very-long-word".padEnd(120, "o"));
        await button(page, "Continue").click();
        await idle(page);
        await look(page, `${name}-written`);
        await page.locator("#text").press("Alt+ArrowDown");
        await page.locator("#card").waitFor();
        await look(page, `${name}-card`);
        await page.keyboard.press("Escape");
        await page.locator("#settings").evaluate((element) => ((element as HTMLDetailsElement).open = true));
        await page.getByLabel("4", { exact: true }).check();
        await page.getByLabel("Top p").fill("2");
        await look(page, `${name}-settings`);
        await page.getByLabel("Top p").fill("1");
        await button(page, "Continue").click();
        await until("four candidates", async () => await button(page, "Take 4").isEnabled());
        await look(page, `${name}-candidates`);
      });
    }

    test("the colours lie behind their words, at any width", async () => {
      const page = await written(
        {},
        "A line.\n\nAnother  line,\tand a wordthatislongerthanothers ".repeat(6),
      );
      for (const width of [1280, 1000, 700, 481, 360, 320]) {
        await page.setViewportSize({ width, height: 800 });
        const heights = await page.evaluate(() => {
          const field = document.querySelector<HTMLTextAreaElement>("#text");
          const mirror = document.querySelector<HTMLElement>("#mirror");
          if (!field || !mirror) return [];
          field.style.minHeight = mirror.style.minHeight = field.style.height = "0";
          const heights = [field.scrollHeight, mirror.offsetHeight];
          field.style.minHeight = mirror.style.minHeight = field.style.height = "";
          return heights;
        });
        assert.equal(heights[0], heights[1], `${width} pixels wide`);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${width} pixels wide: ${overflow} too many`);
      }
    });

    test("without colours, and without the marks", async () => {
      const page = await written({ forcedColors: "active" });
      await takePicture(page, "forced-colors");
      // The lines must be seen: the browser paints a plate behind words, which would hide them.
      const box = await page.locator("#mirror .level-3, #mirror .level-4").first().boundingBox();
      assert.ok(box);
      const clip = { ...box, height: box.height + 8 };
      const marked = await page.screenshot({ clip });
      await page.getByLabel("Show how likely each token was").uncheck();
      assert.notDeepEqual(await page.screenshot({ clip }), marked);
      await page.getByLabel("Show how likely each token was").check();
      assert.deepEqual(await page.screenshot({ clip }), marked);
      const line = (): Promise<string> =>
        page
          .locator("#mirror .level-5, #mirror .level-4, #mirror .level-3")
          .first()
          .evaluate((element) => getComputedStyle(element).textDecorationLine);
      assert.equal(await line(), "underline");
      await page.getByLabel("Show how likely each token was").uncheck();
      assert.equal(await line(), "none");
      await page.reload();
      assert.equal(await line(), "none");
    });
  });
});
