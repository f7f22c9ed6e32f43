import { readFileSync } from "node:fs";

/** A file that a browser asks for. */
export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
}

/** Where they are read from, once, at the start: no request leads to a file. */
const FOLDER = new URL("../../page/", import.meta.url);
const FILES = [
  { path: "/", name: "index.html", type: "text/html; charset=utf-8" },
  { path: "/page.js", name: "page.js", type: "text/javascript; charset=utf-8" },
  { path: "/page.css", name: "page.css", type: "text/css; charset=utf-8" },
] as const;

/** What the page may do: run its own script, use its own style, ask this server, and nothing else. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

/** The page's files by the paths that they are asked for by; those that were not built are not there. */
export function readPage(): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  for (const { path, name, type } of FILES) {
    try {
      files.set(path, { type, body: readFileSync(new URL(name, FOLDER)) });
    } catch {
      // Not built: it is asked for in vain.
    }
  }
  return files;
}
