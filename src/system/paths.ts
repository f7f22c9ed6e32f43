import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import envPaths from "env-paths";

/** Expands a leading `~` and `$VAR`, `${VAR}` (also `%VAR%` on Windows), as the original's models_dir does. */
export function expandPath(path: string): string {
  const value = (name: string, whole: string): string => process.env[name] ?? whole;
  let expanded = path.replace(/^~(?=$|[/\\])/, () => homedir());
  expanded = expanded.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, bare) =>
    value(braced ?? bare, whole),
  );
  if (process.platform === "win32")
    expanded = expanded.replace(/%(\w+)%/g, (whole, name) => value(name, whole));
  return expanded;
}

/** Whether a name is a path: whether it has a separator, or begins with `.` or `~`. */
export function isPath(name: string): boolean {
  return /[/\\]/.test(name) || /^(\.|~)/.test(name) || isAbsolute(name);
}

/** A path in the folder that this system has for a user's settings, data or caches of this program. */
export function userPath(kind: "config" | "data" | "cache", ...names: readonly string[]): string {
  return join(envPaths("gpt2", { suffix: "" })[kind], ...names);
}
