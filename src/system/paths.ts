import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

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

/**
 * A path in the folder that this system has for a user's settings, data or caches of this program.
 * Sources: the XDG Base Directory Specification; Apple's File System Programming Guide; Microsoft's known folders.
 */
export function userPath(kind: "config" | "data" | "cache", ...names: readonly string[]): string {
  const { env, platform } = process;
  const inHome = (...parts: readonly string[]): string => join(homedir(), ...parts);
  if (platform === "win32") {
    const local = env["LOCALAPPDATA"] || inHome("AppData", "Local");
    const roaming = env["APPDATA"] || inHome("AppData", "Roaming");
    const folders = { config: [roaming, "Config"], data: [local, "Data"], cache: [local, "Cache"] } as const;
    const [folder, own] = folders[kind];
    return join(folder, "gpt2", own, ...names);
  }
  if (platform === "darwin") {
    const folders = { config: "Preferences", data: "Application Support", cache: "Caches" } as const;
    return inHome("Library", folders[kind], "gpt2", ...names);
  }
  const folders = {
    config: env["XDG_CONFIG_HOME"] || inHome(".config"),
    data: env["XDG_DATA_HOME"] || inHome(".local", "share"),
    cache: env["XDG_CACHE_HOME"] || inHome(".cache"),
  } as const;
  return join(folders[kind], "gpt2", ...names);
}
