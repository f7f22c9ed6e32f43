import assert from "node:assert/strict";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { userPath } from "../../dist/src/system/paths.js";

const platform = Object.getOwnPropertyDescriptor(process, "platform") as PropertyDescriptor;
const NAMES = ["APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] as const;
const before = NAMES.map((name) => [name, process.env[name]] as const);

/** On this system, with these variables and none of the others. */
function pretend(value: string, env: Partial<Record<(typeof NAMES)[number], string>> = {}): void {
  Object.defineProperty(process, "platform", { value });
  for (const name of NAMES) delete process.env[name];
  Object.assign(process.env, env);
}

afterEach(() => {
  Object.defineProperty(process, "platform", platform);
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

const places = (): string[] =>
  (["config", "data", "cache"] as const).map((kind) => userPath(kind, "folder", "file"));
const home = (...parts: string[]): string => join(homedir(), ...parts, "folder", "file");

test("Linux: the XDG folders, in the home folder where a variable is unset or empty", () => {
  pretend("linux", { XDG_CACHE_HOME: "" });
  assert.deepEqual(places(), [home(".config/gpt2"), home(".local/share/gpt2"), home(".cache/gpt2")]);
  pretend("linux", { XDG_CONFIG_HOME: "/c", XDG_DATA_HOME: "/d", XDG_CACHE_HOME: "/e" });
  assert.deepEqual(
    places(),
    ["/c", "/d", "/e"].map((folder) => join(folder, "gpt2", "folder", "file")),
  );
});

test("macOS: ~/Library, whatever XDG says", () => {
  pretend("darwin", { XDG_CACHE_HOME: "/e" });
  assert.deepEqual(places(), [
    home("Library", "Preferences", "gpt2"),
    home("Library", "Application Support", "gpt2"),
    home("Library", "Caches", "gpt2"),
  ]);
});

test("Windows: settings roam, data and caches stay on the machine", () => {
  pretend("win32", { APPDATA: "/roaming", LOCALAPPDATA: "/local" });
  assert.deepEqual(
    places(),
    ["/roaming/gpt2/Config", "/local/gpt2/Data", "/local/gpt2/Cache"].map((folder) =>
      join(folder, "folder", "file"),
    ),
  );
  pretend("win32");
  assert.deepEqual(places(), [
    home("AppData", "Roaming", "gpt2", "Config"),
    home("AppData", "Local", "gpt2", "Data"),
    home("AppData", "Local", "gpt2", "Cache"),
  ]);
});
