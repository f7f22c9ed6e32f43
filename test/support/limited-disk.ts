import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";

/** The address of a file, as a script imports it. */
export const moduleUrl = (path: string): string => JSON.stringify(pathToFileURL(path).href);

/**
 * Runs JavaScript in a process whose files may have 50 kB, as on a full disk.
 * @param imports statements before it
 * @param call an expression for a promise
 * @returns "done" or the error's name and message, with a newline; undefined where sizes cannot be limited
 */
export function onFullDisk(imports: string, call: string): string | undefined {
  const script = `
    process.on("SIGXFSZ", () => {});
    ${imports}
    await ${call}.then(
      () => console.log("done"),
      (error) => console.log(error.name + ": " + error.message),
    );`;
  const limit = 'ulimit -f 100 || exit 9; exec "$0" --input-type=module -e "$1"';
  const { stdout, stderr, status } = spawnSync("sh", ["-c", limit, process.execPath, script], {
    encoding: "utf8",
  });
  if (status === 9) return undefined;
  assert.notEqual(stdout, "", stderr);
  return stdout;
}
