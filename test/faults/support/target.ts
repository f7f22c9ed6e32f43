import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sizeOf } from "../../../dist/src/model/parameters.js";
import type { WeightSource } from "../../../dist/src/model/weight-source.js";
import { UserError } from "../../../dist/src/system/errors.js";
import { inProject } from "../../support/models.js";
import type { Draw } from "./draw.js";

/** Names, with "/" between those of folders, and contents. */
export type Files = ReadonlyMap<string, Buffer>;

/** Something that reads files of a folder, and ways to spoil them. */
export interface Target {
  /** Sound folders; mutations take turns with them. */
  readonly bases: readonly Files[];
  /** The files that one mutation changes. */
  mutate(draw: Draw, base: number): Files;
  /**
   * Reads the folder. What loads is to be looked at with assert.
   * @throws UserError where it is refused
   */
  run(folder: string, files: Files): Promise<void>;
  /** What some mutation must have been refused for: it shows that the checks deep inside are reached. */
  readonly reached: readonly RegExp[];
}

/** How long a message may be, without the folder's path. */
const LONGEST = 500;
/** Control characters, line ends, marks that turn the direction of text, halves of characters. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** What is wrong with the error that a spoiled folder gave, or undefined. */
export function faultOfError(error: unknown, folder: string): string | undefined {
  if (!(error instanceof UserError)) {
    return `no UserError: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`.slice(
      0,
      1500,
    );
  }
  const { message } = error;
  const shown = JSON.stringify(message.slice(0, 1000));
  if (UNPRINTABLE.test(message)) return `not one printable line: ${shown}`;
  if (message.length > LONGEST + folder.length) return `${message.length} characters: ${shown}`;
  if (!message.includes(folder)) return `names no file: ${shown}`;
  return undefined;
}

/** The files of a folder of fixtures. */
export function filesIn(folder: string, wanted = /./): Map<string, Buffer> {
  const path = inProject(folder);
  const names = readdirSync(path).filter((name) => wanted.test(name));
  return new Map(names.map((name) => [name, readFileSync(join(path, name))]));
}

/**
 * Looks at what was opened: sizes that the files can have, and some tensors' values are read.
 * @param width bytes that a value takes at least
 */
export async function checkSource(source: WeightSource, files: Files, reads = 2, width = 2): Promise<void> {
  const bytes = [...files.values()].reduce((sum, { length }) => sum + length, 0);
  for (const [name, { shape }] of source.tensors) {
    assert.ok(
      shape.every((n) => Number.isSafeInteger(n) && n >= 0),
      `${name} has the shape [${shape.join(", ")}]`,
    );
    assert.ok(sizeOf(shape) * width <= bytes, `${name} is larger than the files: [${shape.join(", ")}]`);
  }
  for (const name of [...source.tensors.keys()].slice(0, reads)) {
    await source.read(name, new Float32Array(sizeOf(source.tensors.get(name)?.shape ?? [])));
  }
}
