import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSafetensors } from "../../../../dist/src/formats/huggingface/safetensors.js";
import { openWeights } from "../../../../dist/src/formats/tfjs/read.js";
import { parseHparams } from "../../../../dist/src/model/hparams.js";
import { checkParameters, sizeOf } from "../../../../dist/src/model/parameters.js";
import { convert } from "../../../../dist/src/models/convert.js";
import { inProject, MICRO } from "../../../support/models.js";
import { joinSafetensors, splitSafetensors } from "../../../support/safetensors.js";
import { changeBytes } from "../bytes.js";
import { hostilePaths, JsonMutator } from "../json.js";
import { checkSource, type Files, type Target } from "../target.js";

const MANIFEST = "model.json";

interface Manifest {
  weightsManifest: { paths: string[]; weights: unknown[] }[];
  userDefinedMetadata?: unknown;
}

/** The smallest model's weights as gpt2 convert writes them. */
async function converted(dtype: "float32" | "float16"): Promise<Map<string, Buffer>> {
  const out = mkdtempSync(join(tmpdir(), "gpt2-fuzz-convert-"));
  try {
    await convert(MICRO.folder, { dtype, out });
    const names = readdirSync(out).filter((name) => /^(model\.json|group1-.*)$/.test(name));
    return new Map(names.map((name) => [name, readFileSync(join(out, name))]));
  } finally {
    rmSync(out, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The same in three files, one of them in a folder below, without checksums if so wanted. */
function inPieces(files: Files, checked: boolean): Files {
  const json = JSON.parse(String(files.get(MANIFEST))) as Manifest;
  const [group] = json.weightsManifest;
  const bytes = files.get(group?.paths[0] ?? "") as Buffer;
  const names = ["a.bin", "sub/b.bin", "c.bin"];
  const cuts = [0, 1001, 70_002, bytes.length];
  if (!checked) delete json.userDefinedMetadata;
  json.weightsManifest = [{ paths: names, weights: group?.weights ?? [] }];
  return new Map([
    [MANIFEST, Buffer.from(JSON.stringify(json))],
    ...names.map((name, i): [string, Buffer] => [name, bytes.subarray(cuts[i], cuts[i + 1])]),
  ]);
}

/** tfjs weights: model.json and now and then a file of values. */
export async function manifestTarget(folder: string): Promise<Target> {
  const whole = await converted("float32");
  const bases = [await converted("float16"), inPieces(whole, true), inPieces(whole, false)];
  const texts = bases.map((files) => files.get(MANIFEST) as Buffer);
  const hparams = parseHparams(readFileSync(join(MICRO.folder, "hparams.json"), "utf8"), "hparams.json");
  const paths = hostilePaths(folder, "a.bin");
  const mutators = bases.map((files, i) => {
    const name = [...files.keys()].find((each) => each !== MANIFEST) ?? "";
    return new JsonMutator(String(texts[i]), [...paths, "float16", "int32", "model/wte", name]);
  });
  return {
    bases,
    mutate: (draw, base) => {
      const names = [...(bases[base] as Files).keys()].filter((name) => name !== MANIFEST);
      const shard = draw.pick(names);
      const values = (bases[base] as Files).get(shard) as Buffer;
      return draw.weighted<Files>([
        [8, () => new Map([[MANIFEST, (mutators[base] as JsonMutator).mutate(draw)]])],
        [2, () => new Map([[MANIFEST, changeBytes(texts[base] as Buffer, draw)]])],
        [
          2,
          () => {
            const path = JSON.stringify(draw.pick(paths));
            const text = String(texts[base]).replace(JSON.stringify(shard), () => path);
            return new Map([[MANIFEST, Buffer.from(text)]]);
          },
        ],
        [1, () => new Map([[shard, changeBytes(values, draw)]])],
      ]);
    },
    run: async (model, files) => {
      const source = await openWeights(model);
      await checkSource(source, files);
      checkParameters(hparams, source);
    },
    reached: [
      /is not valid JSON/,
      /no weightsManifest/,
      /not the name of a file beside it/,
      /is named twice/,
      /is described twice/,
      /has no valid shape/,
      /is too large/,
      /which is not float32/,
      /neither float32 nor float16/,
      /has no checksum/,
      /cut off or altered/,
      /checksum of \S+ does not match/,
      /is not a parameter of a GPT-2|has no tensor/,
      /has no name/,
      /is not a file/,
      /no such file/,
    ],
  };
}

/** A safetensors file: its header, the header's length, its end. */
export function safetensorsTarget(): Target {
  const paths = ["bf16/model-00002-of-00003", "f16/model", "bf16/model-00003-of-00003"];
  const files = paths.map((path) => readFileSync(inProject(`test/fixtures/huggingface/${path}.safetensors`)));
  const parts = files.map(splitSafetensors);
  const mutators = parts.map(
    ({ header }) => new JsonMutator(JSON.stringify(header), ["F32", "BF16", "I64", "BOOL", "F8_E5M2"]),
  );
  const NAME = "model.safetensors";
  return {
    bases: files.map((file) => new Map([[NAME, file]])),
    mutate: (draw, base) => {
      const file = files[base] as Buffer;
      const { data } = parts[base] as (typeof parts)[number];
      const headerEnd = file.length - data.length;
      const changed = draw.weighted<Buffer>([
        [8, () => joinSafetensors((mutators[base] as JsonMutator).mutate(draw).toString(), data)],
        [2, () => Buffer.concat([changeBytes(file.subarray(0, headerEnd), draw), data])],
        [1, () => Buffer.concat([changeBytes(file.subarray(0, 8), draw).subarray(0, 8), file.subarray(8)])],
        [1, () => changeBytes(file, draw)],
      ]);
      return new Map([[NAME, changed]]);
    },
    run: async (model, changed) => {
      const file = await openSafetensors(join(model, NAME));
      const known = [...file.tensors].filter(([, { dtype }]) => /^(F32|F16|BF16|F64)$/.test(dtype));
      const source = {
        path: file.path,
        tensors: new Map(known),
        read: file.read,
        close: async () => undefined,
      };
      await checkSource(source, changed);
      for (const [name] of [...file.tensors].slice(0, 2)) await file.scan(name, () => undefined);
      for (const { shape } of source.tensors.values()) sizeOf(shape);
    },
    reached: [
      /is not valid JSON/,
      /is not a list of tensors/,
      /is not described/,
      /has no type/,
      /has no valid shape/,
      /has no valid offsets/,
      /lies outside the file/,
      /does not match \w+ of the shape/,
      /overlap or have gaps/,
      /another kind of file/,
      /and the file \d+, so it is cut off/,
      /not UTF-8/,
      /only floating-point types are read/,
    ],
  };
}
