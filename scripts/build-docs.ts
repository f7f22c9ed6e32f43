// `npm run docs`: writes docs/options.md from the commands' definitions, and runs the console blocks of README.md and
// docs/ again. A test fails if a page and the program differ.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PACKAGE_ROOT } from "../src/system/package.js";
import { optionsPage } from "./docs/options-page.js";
import { updateTranscripts } from "./docs/transcripts.js";

writeFileSync(join(PACKAGE_ROOT, "docs", "options.md"), await optionsPage());
const pages = ["README.md", ...readdirSync(join(PACKAGE_ROOT, "docs")).map((name) => join("docs", name))];
for (const page of pages.filter((name) => name.endsWith(".md"))) {
  const path = join(PACKAGE_ROOT, page);
  const before = readFileSync(path, "utf8");
  const after = await updateTranscripts(before);
  if (after !== before) {
    writeFileSync(path, after);
    console.log(`${page}: console blocks updated`);
  }
}
