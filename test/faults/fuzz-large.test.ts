/**
 * Files that are large, or that a small file makes large: each is refused with one line, in little time and little
 * memory, by a program that is allowed no more of it.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32c, maskCrc } from "../../dist/src/formats/crc.js";
import { writeIndex } from "../../dist/src/formats/tensorflow/bundle.js";
import { inProject } from "../support/models.js";
import { assertFails, gpt2, MICRO, NO_SHELL, TEMPORARY } from "../support/spawn.js";
import { varint } from "../support/write-checkpoint.js";
import { blockOf, type Row } from "./support/table.js";

const HUGGING_FACE = inProject("test/fixtures/huggingface/bf16");
/** The program's limit for JavaScript objects in MB; one of these files could need far more. */
const LITTLE = { NODE_OPTIONS: "--max-old-space-size=256" };
const GENERATE = ["generate", "a", "--length", "1", "--model_name"];
let count = 0;

function copyOf(folder: string): string {
  const copy = join(TEMPORARY, `large-${count++}`);
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** Runs the program on a folder that it must refuse, within 20 s also on a busy machine. */
async function refuses(args: readonly string[], reason: RegExp, env = LITTLE): Promise<void> {
  assertFails(await gpt2(args, { env, limit: 20 }), 1, reason);
}

const PLACES: readonly (readonly [name: string, folder: string, args: (folder: string) => string[]])[] = [
  ...["hparams.json", "encoder.json", "vocab.bpe", "model.ckpt.index", "checkpoint"].map(
    (name) => [name, MICRO, (folder: string) => [...GENERATE, folder]] as const,
  ),
  ["model.json", MICRO, (folder) => [...GENERATE, folder]],
  ...["hparams.json", "encoder.json"].map(
    (name) => [name, MICRO, (folder: string) => ["convert", folder, "--out", `${folder}-out`]] as const,
  ),
  ...["config.json", "vocab.json", "merges.txt", "added_tokens.json", "model.safetensors.index.json"].map(
    (name) => [name, HUGGING_FACE, importOf] as const,
  ),
  ["model-00002-of-00003.safetensors", HUGGING_FACE, importOf],
];

function importOf(folder: string): string[] {
  return ["import", folder, "--name", `large-${count}`, "--models_dir", join(TEMPORARY, "models")];
}

test("files of three gigabytes (of nothing) where small ones are expected", async () => {
  for (const [name, from, args] of PLACES) {
    const folder = copyOf(from);
    writeFileSync(join(folder, name), "");
    truncateSync(join(folder, name), 3 * 2 ** 30);
    const reason = new RegExp(`${name.replaceAll(".", "\\.")}.*(3221225472|describes|not valid JSON)`);
    await refuses(args(folder), reason);
    rmSync(folder, { recursive: true });
  }
});

test("folders and pipes where files are expected", { skip: NO_SHELL }, async () => {
  for (const [i, [name, from, args]] of PLACES.entries()) {
    // A model.json that is not a file does not count: the checkpoint beside it is taken.
    if (name === "model.json") continue;
    const folder = copyOf(from);
    const path = join(folder, name);
    rmSync(path, { force: true });
    if (i % 2) mkdirSync(path);
    else execFileSync("mkfifo", [path]);
    await refuses(args(folder), new RegExp(name.replaceAll(".", "\\.")));
    rmSync(folder, { recursive: true });
  }
});

test("JSON of millions of nothings, just below what is read", async () => {
  const fill = (bytes: number, begin: string, part: string, end: string): string =>
    begin + part.repeat(Math.floor((bytes - begin.length - end.length) / part.length)) + end;
  const cases: readonly (readonly [string, string, (folder: string) => string[], string, RegExp])[] = [
    [
      "model.json",
      MICRO,
      (folder) => [...GENERATE, folder],
      fill(4 << 20, '{"weightsManifest":[{}', ",{}", "]}"),
      /no list of paths/,
    ],
    [
      "hparams.json",
      MICRO,
      (folder) => [...GENERATE, folder],
      fill(1 << 20, "[[]", ",[]", "]"),
      /holds no hparams/,
    ],
    [
      "hparams.json",
      MICRO,
      (folder) => [...GENERATE, folder],
      `{"n_vocab":"${"x".repeat(1_000_000)}"}`,
      /n_vocab must be/,
    ],
    [
      "hparams.json",
      MICRO,
      (folder) => [...GENERATE, folder],
      `{"n_vocab":${"[".repeat(500_000)}${"]".repeat(500_000)}}`,
      /n_vocab must be/,
    ],
    [
      "config.json",
      HUGGING_FACE,
      importOf,
      `{"model_type":${"[".repeat(1e6)}${"]".repeat(1e6)}}`,
      /model_type is (a deeply nested|\[+\.\.\.)/,
    ],
  ];
  for (const [name, from, args, text, reason] of cases) {
    const folder = copyOf(from);
    writeFileSync(join(folder, name), text);
    await refuses(args(folder), reason);
    rmSync(folder, { recursive: true });
  }
});

/** Seals a block quickly: the check of megabytes bit by bit would take long. */
function sealed(stored: Buffer, type: number): Buffer {
  const checked = Buffer.concat([stored, Buffer.from([type])]);
  const check = Buffer.alloc(4);
  check.writeUInt32LE(maskCrc(crc32c(checked)));
  return Buffer.concat([checked, check]);
}

/** A file with one block of data that its index names again and again. */
function manyPlaces(data: Buffer, type: number, times: number): Buffer {
  const parts = [sealed(data, type), sealed(blockOf([]), 0)];
  const handle = (offset: number, size: number): Buffer => Buffer.concat([varint(offset), varint(size)]);
  const key = (i: number): Buffer => Buffer.from([i >> 16, (i >> 8) & 255, i & 255]);
  const rows = Array.from({ length: times }, (_, i): Row => [key(i), handle(0, data.length)]);
  const at = data.length + 5;
  const metadata = handle(at, (parts[1] as Buffer).length - 5);
  const index = blockOf(rows);
  parts.push(sealed(index, 0));
  const footer = Buffer.alloc(48);
  Buffer.concat([metadata, handle(at + (parts[1] as Buffer).length, index.length)]).copy(footer);
  Buffer.from("57fb808b247547db", "hex").copy(footer, 40);
  return Buffer.concat([...parts, footer]);
}

/** A block without entries: nothing but the places of those that it does not have. */
function emptyBlock(restarts: number): Buffer {
  const block = Buffer.alloc(4 * restarts + 4);
  block.writeUInt32LE(restarts, 4 * restarts);
  return block;
}

test("an index that names one block 90,000 times, or has a million entries, or swells", async () => {
  const folder = copyOf(MICRO);
  const index = join(folder, "model.ckpt.index");
  const args = ["convert", folder];
  writeFileSync(index, manyPlaces(emptyBlock(300_000), 0, 90_000));
  await refuses(args, /the same block more than once/);
  const rows = Array.from({ length: 300_000 }, (_, i): Row => {
    const key = Buffer.alloc(4);
    key.writeUInt32BE(i);
    return [key, Buffer.alloc(0)];
  });
  writeFileSync(index, manyPlaces(blockOf(rows), 0, 1));
  await refuses(args, /too many entries/);
  // One literal byte, then copies of 64 bytes: 22 times as many bytes as the stream has.
  const copies = 1_000_000;
  const stream = Buffer.concat([varint(1 + 64 * copies), Buffer.from([0, 0]), Buffer.alloc(3 * copies)]);
  for (let i = 0; i < copies; i++) stream.set([2 | (63 << 2), 1, 0], stream.length - 3 * (i + 1));
  writeFileSync(index, manyPlaces(stream, 1, 1));
  await refuses(args, /a compressed block cannot be read \(it has 64000001 bytes\)/);
  // A literal of 2^32 - 6 bytes once sent the reader back to where it was.
  writeFileSync(index, manyPlaces(Buffer.from("0afcfaffffff00000000000000", "hex"), 1, 1));
  await refuses(args, /a compressed block cannot be read \(it is cut off\)/);
  rmSync(folder, { recursive: true });
});

test("tensors that share their bytes, and hparams of ten million layers", async () => {
  const folder = copyOf(MICRO);
  const hparams = (n_layer: number): void =>
    writeFileSync(
      join(folder, "hparams.json"),
      JSON.stringify({ n_vocab: 400, n_ctx: 64, n_embd: 8, n_head: 1, n_layer }),
    );
  const shared = (name: string, shape: number[], size: number): readonly [string, object] => [
    name,
    { dtype: 1, shape, shard: 0, offset: 0, size, maskedCrc: 0, sliced: false },
  ];
  const entries = new Map(Array.from({ length: 40 }, (_, i) => shared(`model/t${i}`, [50_000], 200_000)));
  writeFileSync(join(folder, "model.ckpt.index"), writeIndex({ shards: 1, entries: entries as never }));
  hparams(2);
  await refuses([...GENERATE, folder], /has 212096 bytes where its index describes tensors of 8000000/);
  hparams(10_000_000);
  await refuses([...GENERATE, folder], /where (its index|hparams\.json) describes/);
  rmSync(folder, { recursive: true });
});
