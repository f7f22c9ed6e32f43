import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type HubName, isCommit, presentName } from "../models/hub-name.js";
import { neededFiles } from "./hub-files.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where Hugging Face's programs keep their files. Source: huggingface_hub's constants.py. */
export function hubHome(env: Environment = process.env): string {
  const cache = env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return env["HF_HOME"] || join(cache, "huggingface");
}

/** The folder where they keep repositories. */
export function hubCache(env: Environment = process.env): string {
  return env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"] || join(hubHome(env), "hub");
}

/** A repository that Hugging Face's programs have downloaded. */
export interface Snapshot {
  readonly folder: string;
  readonly commit: string;
}

/**
 * Looks for a model in the hub's own cache: models--USER--NAME/snapshots/COMMIT, and refs/REVISION for the commit.
 * @returns undefined if it is missing or incomplete
 */
export function cachedSnapshot(
  { repository, revision }: HubName,
  env: Environment = process.env,
): Snapshot | undefined {
  for (const name of new Set([repository, presentName(repository)])) {
    const place = join(hubCache(env), `models--${name.replaceAll("/", "--")}`);
    try {
      const commit = isCommit(revision)
        ? revision
        : readFileSync(join(place, "refs", revision), "utf8").trim();
      const folder = join(place, "snapshots", commit);
      // Its files are links into the cache; a broken link does not count.
      const names = readdirSync(folder).filter((each) => existsSync(join(folder, each)));
      if (isCommit(commit) && neededFiles(names)) return { folder, commit };
    } catch {
      // Not there.
    }
  }
  return undefined;
}
