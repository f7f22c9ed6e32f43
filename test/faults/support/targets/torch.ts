import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openTorchFile } from "../../../../dist/src/formats/pytorch/torch-file.js";
import { inProject } from "../../../support/models.js";
import { changeBytes } from "../bytes.js";
import type { Draw } from "../draw.js";
import { checkSource, type Target } from "../target.js";

const NAME = "pytorch_model.bin";
/** Opcodes of pickles that call, refer, build or take from the stack. */
const OPCODES = [..."(.012FGIJKLMNRTUX]abcdeghjlqrstu}\x80\x81\x85\x86\x87\x8a\x90\x93\x94\x95"].map((c) =>
  c.charCodeAt(0),
);

/** A range of a file, changed; its length stays, so that what stands behind it is found. */
function changeWithin(file: Buffer, from: number, to: number, draw: Draw): Buffer {
  const changed = Buffer.from(file);
  if (draw.below(2) === 0) {
    for (let n = 1 + draw.below(3); n > 0; n--) changed[from + draw.below(to - from)] = draw.pick(OPCODES);
  } else changeBytes(file.subarray(from, to), draw).copy(changed, from, 0, to - from);
  return changed;
}

function torchTarget(
  file: Buffer,
  ranges: readonly (readonly [number, number])[],
  reached: readonly RegExp[],
): Target {
  return {
    bases: [new Map([[NAME, file]])],
    mutate: (draw) =>
      new Map([
        [
          NAME,
          draw.below(12) === 0
            ? changeBytes(file, draw)
            : changeWithin(file, ...draw.pick([...ranges]), draw),
        ],
      ]),
    run: async (folder, files) => {
      await checkSource(await openTorchFile(join(folder, NAME)), files);
    },
    reached,
  };
}

const read = (name: string): Buffer => readFileSync(inProject(`test/fixtures/huggingface/torch/${name}`));
const COMMON = [
  /which no tensor file needs/,
  /stack runs empty/,
  /outside its storage/,
  /cut off/,
  /two ways|not a storage of numbers/,
];

/** An archive: its pickle, and its list of files. */
export function torchZipTarget(): Target {
  const file = read("zip.bin");
  const start = file.indexOf("data.pkl", 0, "latin1");
  const list = file.indexOf("PK\x01\x02", 0, "latin1");
  const end = file.indexOf("PK\x03\x04", start, "latin1");
  return torchTarget(
    file,
    [
      [start, end],
      [start, end],
      [list, file.length],
    ],
    [...COMMON, /list of files/],
  );
}

/** A file of torch before 1.6: its pickles, which stand before the values. */
export function torchLegacyTarget(): Target {
  const file = read("legacy.bin");
  const values = 53_024 * 4 + 64 * 64;
  return torchTarget(file, [[0, file.length - values - 8 * 40]], [...COMMON, /list of storages/]);
}
