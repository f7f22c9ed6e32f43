/** Characters that are special to roff, or that it would typeset differently, and how to write them. */
const SPECIAL: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
  '"': "\\(dq",
};

const WIDTH = 79;

/** A text that roff shows verbatim, on one line. A dot at its beginning would be a command. */
export function escaped(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  const shown = line.replace(
    /[\\\-'`^~"]|[^\x20-\x7e]/gu,
    (c) => SPECIAL[c] ?? `\\[u${c.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}]`,
  );
  return shown.startsWith(".") ? `\\&${shown}` : shown;
}

/** A paragraph that roff shows verbatim, in lines of at most 79 characters where its words allow. */
export function filled(text: string): string {
  const lines = [""];
  for (const word of escaped(text).split(" ")) {
    const line = lines[lines.length - 1];
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word.startsWith(".") ? `\\&${word}` : word);
  }
  return lines.join("\n");
}

export const bold = (text: string): string => `\\fB${escaped(text)}\\fR`;
export const italic = (text: string): string => `\\fI${escaped(text)}\\fR`;

/** A section with its lines. */
export const section = (title: string, lines: readonly string[]): string[] => [`.SH ${title}`, ...lines];

/** A term and its meaning, indented below it. @param term in roff; @param text plain */
export const item = (term: string, text: string): string[] => [".TP", term, filled(text)];

/** Lines as they would be typed. */
export const typed = (...lines: string[]): string[] => [
  ".PP",
  ".RS 4",
  ".nf",
  ...lines.map((line) => bold(line)),
  ".fi",
  ".RE",
];
