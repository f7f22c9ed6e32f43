// Builds what browsers get, src/page/, into dist/page/, made small: the page that `gpt2 serve` shows, and the script and
// the style sheet of reports.
import { copyFileSync, writeFileSync } from "node:fs";
import { build, transform } from "esbuild";
import { levelStyles } from "../dist/src/probability-scale.js";

const FOLDER = "dist/page";

await build({
  entryPoints: { page: "src/page/main.ts", report: "src/page/report.ts", attention: "src/page/attention.ts" },
  outdir: FOLDER,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
});
for (const name of ["page", "report"]) {
  const sheet = await build({ entryPoints: [`src/page/${name}.css`], bundle: true, write: false });
  const styles = levelStyles() + sheet.outputFiles[0].text;
  const { code } = await transform(styles, { loader: "css", minify: true });
  writeFileSync(`${FOLDER}/${name}.css`, code);
}
copyFileSync("src/page/index.html", `${FOLDER}/index.html`);
