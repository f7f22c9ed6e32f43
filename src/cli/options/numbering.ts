import { type Command, Option } from "commander";
import { MAX_COUNT } from "../../sampling/options.js";
import type { Shard } from "../../sampling/sample-numbers.js";
import { UsageError } from "../../system/errors.js";
import { wholeNumber } from "./parse.js";

/**
 * Reads `i/n`.
 * @throws UsageError when it is not two whole numbers with 1 <= i <= n
 */
export function parseShard(text: string): Shard {
  const [, i, n] = /^(\d{1,9})\/(\d{1,9})$/.exec(text) ?? [];
  if (i === undefined || Number(i) < 1 || Number(i) > Number(n)) {
    throw new UsageError(
      `--shard must be i/n with i from 1 to n, as in --shard 2/8, not ${JSON.stringify(text)}`,
    );
  }
  return { i: Number(i), n: Number(n) };
}

/** Which of a run's samples to write, and where to continue. */
export interface NumberingOptions {
  readonly first_sample?: number;
  readonly shard?: Shard;
  readonly resume?: string;
}

/** Adds the options that split a large run among machines and let it continue after an interruption. */
export function addNumberingOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--first_sample <n>",
        "start at the n-th sample of the numbered stream (default: 1)",
      ).argParser(wholeNumber("--first_sample", 1, MAX_COUNT)),
    )
    .addOption(
      new Option(
        "--shard <i/n>",
        "write every n-th sample, starting at the i-th: n machines together write one run",
      ).argParser(parseShard),
    )
    .option(
      "--resume <file>",
      "append samples to this file as jsonl, skipping those it already holds; pass the same options again",
    );
}
