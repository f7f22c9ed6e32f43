import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** What a report's page is made of. */
export interface ReportPage {
  readonly title: string;
  /** A line below the title. */
  readonly summary: string;
  /** Its HTML. */
  readonly main: string;
  /** What its script reads from the element #data. */
  readonly data: unknown;
  /** The name of its script in src/page/. */
  readonly script: "report" | "attention";
}

/** A page of one file: it may load no other, and runs no script but its own. */
export function reportPage({ title, summary, main, data, script: name }: ReportPage): string {
  const [script, styles] = [`${name}.js`, "report.css"].map(builtFile);
  const policy = `default-src 'none'; script-src ${hashOf(script)}; style-src ${hashOf(styles)}; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escaped(title)}</title>
<style>${styles}</style>
</head>
<body>
<header>
<h1>${escaped(title)}</h1>
<p>${escaped(summary)}</p>
</header>
<main>
${main}
</main>
<script type="application/json" id="data">${JSON.stringify(data).replaceAll("<", "\\u003c")}</script>
<script type="module">${script}</script>
</body>
</html>
`;
}

/** A script or a style sheet of reports, as built; neither contains its own end tag. */
const builtFile = (name: string): string =>
  readFileSync(new URL(`../../page/${name}`, import.meta.url), "utf8");

/** A source for a Content-Security-Policy that allows only this text. */
const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const ENTITIES: Readonly<Record<string, string>> = {
  ...{ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" },
  ...{ "\r": "&#13;", "\0": "\u2400" }, // HTML reads \r as a newline, and cannot hold \0
};

/** A text in HTML, inside an element or an attribute's quotes. */
export const escaped = (text: string): string => text.replace(/[&<>"\r\0]/g, (letter) => ENTITIES[letter]);
