// Builds the page that `gpt2 serve` shows, src/page/, into dist/page/: a script and a style sheet, made small.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { build, transform } from "esbuild";
import { levelStyles } from "../dist/src/probability-scale.js";

const FOLDER = "dist/page";

await build({
  entryPoints: { page: "src/page/main.ts" },
  outdir: FOLDER,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
});
const styles = levelStyles() + readFileSync("src/page/page.css", "utf8");
const { code } = await transform(styles, { loader: "css", minify: true });
writeFileSync(`${FOLDER}/page.css`, code);
copyFileSync("src/page/index.html", `${FOLDER}/index.html`);
