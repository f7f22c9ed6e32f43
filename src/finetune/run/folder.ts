import { join, resolve } from "node:path";
import { expandPath } from "../../models/store.js";
import { UsageError } from "../../system/errors.js";

/** The folder of a run. @throws UsageError when the name would lead elsewhere */
export function runFolder(checkpoint_dir: string, run_name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  if (/^\.*$|[\0-\x1f/\\:]/.test(run_name)) {
    throw new UsageError(`--run_name must be the name of a folder, not ${JSON.stringify(run_name)}`);
  }
  return join(resolve(expandPath(checkpoint_dir)), run_name);
}
