import { createInterface } from "node:readline/promises";
import { note } from "./output.js";
import { printable } from "./printable.js";

/**
 * Asks a yes/no question on the terminal, on stderr; stdin answers.
 * @param question without the choices, e.g. "Download it now?"
 * @param usual what Enter means
 * @returns whether the answer was yes; the end of the input (Ctrl-C, Ctrl-D) means no
 */
export async function ask(question: string, usual: "yes" | "no"): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await new Promise<string | undefined>((resolve) => {
    lines.once("close", () => resolve(undefined));
    lines.question(`${printable(question)} ${usual === "yes" ? "[Y/n]" : "[y/N]"} `).then(resolve, () => {});
  });
  lines.close();
  if (answer === undefined) note(""); // ends the question's line
  return (
    answer !== undefined && (/^\s*y(es)?\s*$/i.test(answer) || (usual === "yes" && answer.trim() === ""))
  );
}
