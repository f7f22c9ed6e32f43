/** Chromium, as Debian packages it, driven by Playwright. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import axe from "axe-core";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const found = process.env["CHROMIUM"] ?? PLACES.find((path) => existsSync(path));

/** Why no page can be opened here; false where it can. */
export const NO_BROWSER = found
  ? false
  : "needs a browser: apt-get install chromium, or $CHROMIUM with its path";

export const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: found, args: ["--no-sandbox", "--disable-gpu"] });

/** How long a page may take, in milliseconds: only a page that never gets there should fail, not a slow machine. */
const PATIENCE = 60_000;

/** An open page, and what it did that it must not. */
export interface Opened {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors, broken rules of its security policy, requests to other hosts. */
  readonly faults: string[];
}

/** @param allowed what the console may say: a failed request is an error to it */
export async function open(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  allowed = /^$/,
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("console", (message) => {
    const isFault = message.type() === "error" || message.type() === "warning";
    if (isFault && !allowed.test(message.text())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith("data:") && new URL(request.url()).origin !== new URL(url).origin)
      faults.push(`a request to ${request.url()}`);
  });
  await page.goto(url);
  return { page, context, faults };
}

/** Waits until the page is as wanted. */
export async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!(await isSo())) {
    assert.ok(Date.now() < end, `it never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Where pictures of the pages go, for whoever wants to look at them. */
const PICTURES = process.env["GPT2_PICTURES"];

const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 740 },
  hasTouch: true,
  isMobile: true,
};

/** Windows that a page should be readable in. */
export const LOOKS: Readonly<Record<string, BrowserContextOptions>> = {
  ...{ light: {}, dark: { colorScheme: "dark" } },
  ...{ "phone-light": PHONE, "phone-dark": { ...PHONE, colorScheme: "dark" } },
};

export async function takePicture(page: Page, name: string): Promise<void> {
  if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
}

/** Looks at a page as it is now: accessibility rules, and nothing wider than the window. */
export async function look(page: Page, name: string): Promise<void> {
  await takePicture(page, name);
  const { scrollWidth, clientWidth } = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return { scrollWidth, clientWidth };
  });
  assert.ok(scrollWidth <= clientWidth, `${name}: ${scrollWidth} pixels wide`);
  await page.evaluate(axe.source);
  const values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await page.evaluate(
    (tags) => (window as unknown as { axe: typeof axe }).axe.run({ runOnly: { type: "tag", values: tags } }),
    values,
  );
  const said = violations.map(
    ({ id, nodes }) => `${name}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`,
  );
  assert.deepEqual(said, []);
}
