/** Chromium, as Debian packages it, driven by Playwright. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
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
