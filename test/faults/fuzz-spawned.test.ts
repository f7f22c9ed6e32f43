/** Some of the mutations of fuzz-files.test.ts as a user meets them: through the built program. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { UserError } from "../../dist/src/system/errors.js";
import { inProject } from "../support/models.js";
import { gpt2, MICRO, TEMPORARY } from "../support/spawn.js";
import { Draw } from "./support/draw.js";
import { faultOfError } from "./support/target.js";
import { TARGETS } from "./support/targets/index.js";

/** Mutations of each target that are tried. */
const ROUNDS = 4;
const models = join(TEMPORARY, "models");
const generate = (folder: string): string[] => [
  "generate",
  "a",
  "--length",
  "2",
  "--seed",
  "1",
  "--model_name",
  folder,
];
const convert = (folder: string): string[] => ["convert", folder];
const importIt = (folder: string): string[] => [
  "import",
  folder,
  "--name",
  "x",
  "--overwrite",
  "--models_dir",
  models,
];
const HUGGING_FACE = "test/fixtures/huggingface/bf16";

/** What the rest of the folder is, and the command that reads it. */
const USES: Readonly<
  Record<string, readonly [rest: string | undefined, args: (folder: string) => string[]]>
> = {
  index: [undefined, convert],
  snappy: [undefined, convert],
  state: [MICRO, convert],
  manifest: [MICRO, generate],
  encoder: [MICRO, generate],
  hparams: [MICRO, generate],
  tokenizer: [inProject(HUGGING_FACE), importIt],
  config: [inProject(HUGGING_FACE), importIt],
};

describe("spoiled folders and the program", { concurrency: 2 }, () => {
  for (const [name, [rest, args]] of Object.entries(USES)) {
    test(`${name}: the program goes on, or ends with one line`, async () => {
      const folder = join(TEMPORARY, `spoiled-${name}`, "model");
      const target = await TARGETS[name]?.(folder);
      assert.ok(target);
      for (let round = 0; round < ROUNDS; round++) {
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder, { recursive: true });
        if (rest) cpSync(rest, folder, { recursive: true });
        const base = round % target.bases.length;
        const files = new Map([...(target.bases[base] ?? []), ...target.mutate(new Draw(7, round), base)]);
        for (const [file, content] of files) {
          mkdirSync(dirname(join(folder, file)), { recursive: true });
          writeFileSync(join(folder, file), content);
        }
        const { code, signal, stderr } = await gpt2(args(folder), { limit: 20 });
        assert.equal(signal, null, stderr);
        if (code === 0) continue;
        assert.equal(code, 1, stderr);
        const [, line = ""] = /^gpt2: ([^\n]+)\n$/.exec(stderr) ?? [];
        assert.equal(faultOfError(new UserError(line), folder), undefined, stderr);
        assert.doesNotMatch(line, /unexpected error/);
      }
    });
  }
});
