import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openGguf } from "../../../../dist/src/formats/gguf/open.js";
import { joinGguf, type Parts, splitGguf } from "../../../support/gguf.js";
import { inProject } from "../../../support/models.js";
import { changeBytes, changeInPlace } from "../bytes.js";
import type { Draw } from "../draw.js";
import { checkSource, type Target } from "../target.js";

const NAME = "model.gguf";
const NUMBERS = [0n, 1n, 31n, 64n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n];

/** One thing in the head, changed; all that stands around it stays sound. */
function changeParts(file: Buffer, draw: Draw): Buffer {
  const parts: Parts = splitGguf(file);
  const value = draw.pick(parts.values);
  const tensor = draw.pick(parts.tensors);
  draw.weighted<unknown>([
    [4, () => (value.bytes = changeInPlace(value.bytes, draw))],
    [1, () => (value.type = draw.below(16))],
    [1, () => (value.name = draw.pick(parts.values).name)],
    [1, () => parts.values.splice(parts.values.indexOf(value), 1)],
    [2, () => (tensor.dims[draw.below(tensor.dims.length)] = draw.pick(NUMBERS))],
    [1, () => tensor.dims.push(draw.pick(NUMBERS))],
    [1, () => (tensor.type = draw.below(40))],
    [2, () => (tensor.offset = draw.pick(NUMBERS))],
    [1, () => (tensor.name = draw.pick(parts.tensors).name)],
    [1, () => parts.tensors.splice(parts.tensors.indexOf(tensor), 1)],
    [1, () => (parts.version = draw.below(6))],
    [1, () => (parts.data = parts.data.subarray(0, draw.below(parts.data.length)))],
  ]);
  return joinGguf(parts);
}

/** GGUF files: of all types of blocks, and of float16 with a whole vocabulary. */
export function ggufTarget(): Target {
  const files = ["types", "f16"].map((name) => readFileSync(inProject(`test/fixtures/gguf/${name}.gguf`)));
  const heads = files.map((file) => file.length - splitGguf(file).data.length);
  return {
    bases: files.map((file) => new Map([[NAME, file]])),
    mutate: (draw, base) => {
      const [file, head] = [files[base]!, heads[base]!];
      if (draw.below(2) === 0) return new Map([[NAME, changeParts(file, draw)]]);
      const changed = draw.once(8)
        ? changeBytes(file, draw)
        : Buffer.concat([changeBytes(file.subarray(0, head), draw), file.subarray(head)]);
      return new Map([[NAME, changed]]);
    },
    run: async (folder, changed) => {
      const { source } = await openGguf(join(folder, NAME));
      await checkSource(source, changed, 4, 84 / 256); // bytes a value in the smallest blocks, Q2_K's
    },
    reached: [
      /cut off/,
      /general\.architecture is/,
      /has no tensor/,
      /has the shape/,
      /too few for|twice/,
      /head_count|context_length|block_count|embedding_length/,
    ],
  };
}
