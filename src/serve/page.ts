import { readFileSync } from "node:fs";

/** A file of the page. */
export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
}

/** Their folder, read once at the start, so that no request opens a file. */
const FOLDER = new URL("../../page/", import.meta.url);
const FILES = [
  { path: "/", name: "index.html", type: "text/html; charset=utf-8" },
  { path: "/page.js", name: "page.js", type: "text/javascript; charset=utf-8" },
  { path: "/page.css", name: "page.css", type: "text/css; charset=utf-8" },
] as const;

/** Lets the page only run its own script, use its own style and send requests to this server. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

/** The page's files by URL path, as far as they were built. */
export function readPage(): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  for (const { path, name, type } of FILES) {
    try {
      files.set(path, { type, body: readFileSync(new URL(name, FOLDER)) });
    } catch {
      // Not built: requests for it get 404.
    }
  }
  return files;
}
