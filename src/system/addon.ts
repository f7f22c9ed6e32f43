/**
 * The package's own native code, one file per platform: the source is in native/, the files in prebuilds/. Without it
 * everything works the same, in WebAssembly and JavaScript.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { messageOf } from "./errors.js";
import { PACKAGE_ROOT } from "./package.js";

/** The addon's exports. */
export interface Addon {
  /** The sets of kernels that this processor can run, by name, best first. */
  readonly kernels: Readonly<Record<string, unknown>>;
  /** Extends a CRC-32C by bytes; absent if the processor has no instruction for it. */
  readonly crc32c?: (bytes: Uint8Array, crc: number) => number;
  /** Asks Linux for huge pages in an address space of `bytes` that begins with a memory. @returns whether it agreed */
  readonly hugePages?: (memory: Uint8Array, bytes: number) => boolean;
}

/** Where the files are, with their digests in sha256.json. */
const PREBUILDS = join(PACKAGE_ROOT, "prebuilds");

let loaded: Addon | string | undefined;

/** The addon for this platform, loaded once per process; or why there is none, in one line. */
export function loadAddon(): Addon | string {
  try {
    loaded ??= openAddon(PREBUILDS, `${process.platform}-${process.arch}`);
  } catch (error) {
    loaded = messageOf(error);
  }
  return loaded;
}

/**
 * Loads a platform's file.
 * @throws Error when there is no such file, or it is not the one that belongs to this package
 */
export function openAddon(folder: string, platform: string): Addon {
  const file = join(folder, platform, "gpt2.node");
  // Only known files are loaded: a truncated one would kill the process when a missing page is touched.
  const digests = JSON.parse(readFileSync(join(folder, "sha256.json"), "utf8")) as Record<string, string>;
  const digest = digests[platform];
  if (digest === undefined) throw new Error(`there are no native kernels for ${platform}`);
  if (createHash("sha256").update(readFileSync(file)).digest("hex") !== digest)
    throw new Error(`${file} belongs to another version: install gpt2 again`);
  return createRequire(import.meta.url)(file) as Addon;
}
