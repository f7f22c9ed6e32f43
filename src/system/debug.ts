/** Prints a line under DEBUG=gpt2. */
export function debug(line: string): void {
  if (process.env["DEBUG"]?.split(",").includes("gpt2")) process.stderr.write(`gpt2: ${line}\n`);
}
