import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { HUB_FILE, STAGING } from "./files.js";

/** A model of the Hugging Face hub, at a revision. */
export interface HubName {
  /** USER/NAME; for the oldest models just NAME. */
  readonly repository: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

/** A model folder's record of where it came from. */
export interface HubRecord extends HubName {
  /** 40 hexadecimal digits: the commit that was fetched. */
  readonly commit: string;
  /** The name by which it was requested, if the hub now calls it something else. */
  readonly asked?: string;
}

const MAIN = "main";

/** Names from before every model had an owner, and their present repositories. */
const SINGLE: Readonly<Record<string, string>> = {
  distilgpt2: "distilbert/distilgpt2",
  gpt2: "openai-community/gpt2",
  "gpt2-medium": "openai-community/gpt2-medium",
  "gpt2-large": "openai-community/gpt2-large",
  "gpt2-xl": "openai-community/gpt2-xl",
};

const PART = /^\w(?:[\w.-]*\w)?$/;
const REVISION = /^\w[\w./-]*$/;
const COMMIT = /^[0-9a-f]{40}$/;

/** Whether it can be the hash of a commit. */
export const isCommit = (text: unknown): text is string => typeof text === "string" && COMMIT.test(text);

/** Whether a text is a repository's name: USER/NAME, or just NAME. */
export function isRepository(text: unknown): text is string {
  if (typeof text !== "string" || text.length > 200 || /--|\.\./.test(text)) return false;
  const parts = text.split("/");
  return parts.length <= 2 && parts.every((part) => PART.test(part));
}

/**
 * Parses the name of a model of the hub: USER/NAME, hf:NAME or one of the old single names, each with or without
 * @REVISION.
 * @returns undefined for any other name
 */
export function parseHubName(text: string): HubName | undefined {
  const [, prefix, repository, revision = MAIN] = /^(hf:)?([^@:]+)(?:@(.+))?$/.exec(text) ?? [];
  if (!isRepository(repository) || !REVISION.test(revision) || revision.includes("..")) return undefined;
  const isHub = prefix !== undefined || repository.includes("/") || Object.hasOwn(SINGLE, repository);
  return isHub ? { repository, revision } : undefined;
}

/** The same, unless a folder named USER exists here: then the text is a path in it. */
export function hubNameNotPath(text: string): HubName | undefined {
  const isPath = text.includes("/") && statSync(text.split("/")[0], { throwIfNoEntry: false })?.isDirectory();
  return isPath ? undefined : parseHubName(text);
}

/** The repository's present name, as far as it is known here. */
export const presentName = (repository: string): string =>
  Object.hasOwn(SINGLE, repository) ? SINGLE[repository] : repository;

/** A model of the hub as one would type it. */
export function showHubName({ repository, revision }: HubName): string {
  return revision === MAIN ? repository : `${repository}@${revision}`;
}

/**
 * The folder names for a model of the hub, of which the first free one is used: NAME, USER--NAME.
 * @param isTaken whether a name means another model here, such as OpenAI's 117M
 */
export function folderNames({ repository, revision }: HubName, isTaken: (name: string) => boolean): string[] {
  const at = revision === MAIN ? "" : `@${revision.replaceAll("/", "-")}`;
  const short = repository.split("/").at(-1) as string;
  const names = new Set([short, repository.replaceAll("/", "--")]);
  return [...names].filter((name) => !isTaken(name)).map((name) => name + at);
}

/** The record of a model folder, or of an unfinished download into it; undefined if there is none. */
export function readHubRecord(folder: string): HubRecord | undefined {
  for (const place of [join(folder, HUB_FILE), join(folder, STAGING, HUB_FILE)]) {
    try {
      const { repository, revision, commit, asked } = JSON.parse(readFileSync(place, "utf8")) as HubRecord;
      if (isRepository(repository) && typeof revision === "string" && isCommit(commit)) {
        return { repository, revision, commit, ...(isRepository(asked) && { asked }) };
      }
    } catch {
      // Missing or unreadable.
    }
  }
  return undefined;
}

/** The text of a record. */
export function hubRecordJson({ repository, revision, commit, asked }: HubRecord): string {
  return `${JSON.stringify({ repository, revision, commit, asked }, undefined, 2)}\n`;
}

/** Whether a folder's record is of this model. */
export function isRecordOf(record: HubRecord | undefined, { repository, revision }: HubName): boolean {
  if (record === undefined || record.revision !== revision) return false;
  const same = (name: string): boolean => presentName(name) === presentName(repository);
  return same(record.repository) || (record.asked !== undefined && same(record.asked));
}
