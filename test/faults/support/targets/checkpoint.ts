import assert from "node:assert/strict";
import { openCheckpoint } from "../../../../dist/src/formats/tensorflow/checkpoint.js";
import { bytes, entry, fixed, header, number } from "../../../support/write-checkpoint.js";
import { changeBytes, changeInPlace } from "../bytes.js";
import type { Draw } from "../draw.js";
import { hostilePaths } from "../json.js";
import {
  type Block,
  blockOf,
  compress,
  plainOf,
  putTogether,
  type Row,
  referenceUncompress,
  rowsOf,
  type Table,
  takeApart,
} from "../table.js";
import { checkSource, type Files, filesIn, type Target } from "../target.js";

const INDEX = "model.ckpt.index";
const CHECKPOINT = /^(checkpoint|model\.ckpt\.(index|data-.*))$/;
const fixture = (name: string): Files => filesIn(`test/fixtures/${name}`, CHECKPOINT);

async function run(folder: string, files: Files): Promise<void> {
  const source = await openCheckpoint(folder);
  await checkSource(source, files);
}

const LARGE = [0, 1, 3, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2n ** 53n, 2n ** 63n, -1].map(BigInt);
const NAMES = [
  "model/wte/Adam",
  "",
  "model/",
  "model/../../outside",
  "\u001b[31m",
  "model/a\nb",
  "model/\u009b31m",
].concat([`model/${"n".repeat(3000)}`, "model/\u202e", "\0slice"]);

/** A description of a tensor in which anything may be wrong. */
function hostileEntry(draw: Draw): Buffer {
  const size = draw.pick([0n, 4n, 40n, ...LARGE]);
  const shape = draw.pick<readonly bigint[]>([
    [],
    [size / 4n],
    [1n, size / 4n],
    [65536n, 65536n, 65536n],
    [2n ** 32n, 2n ** 32n],
    [0n, 2n ** 53n - 1n, 2n ** 53n - 1n],
    [-1n],
    Array<bigint>(300).fill(1n),
    Array<bigint>(30).fill(2n ** 50n),
  ]);
  const extra = draw.pick([
    Buffer.alloc(0),
    bytes(7, Buffer.from([1])),
    number(99, 5),
    bytes(2, number(3, 1)),
    fixed(6, 0xffffffff),
    Buffer.from([0x0b]),
    bytes(2, bytes(2, bytes(2, bytes(2, Buffer.alloc(3))))),
  ]);
  const shard = draw.pick([0, 0, 0, 1, 99_999, 2 ** 31]);
  const offset = draw.pick([0n, 4n, ...LARGE]);
  return entry({ dtype: draw.pick([1, 1, 2, 14, 19, 3, 7, 0, 200]), shape, shard, offset, size, extra });
}

/** The rows of the whole table with some of them spoiled. */
function spoiledRows(rows: readonly Row[], draw: Draw): Row[] {
  const spoiled = [...rows];
  for (let n = draw.below(2); n >= 0; n--) {
    const at = draw.below(spoiled.length);
    const [key, value] = spoiled[at] as Row;
    spoiled[at] = draw.weighted<Row>([
      [4, () => [key, changeInPlace(value, draw)]],
      [3, () => [key, changeBytes(value, draw)]],
      [4, () => [key, hostileEntry(draw)]],
      [2, () => [Buffer.from(draw.pick(NAMES)), value]],
      [1, () => [changeBytes(key, draw), value]],
      [1, () => [key, Buffer.alloc(0)]],
    ]);
    if (draw.once(8)) {
      spoiled[0] = [
        draw.once(2) ? Buffer.alloc(0) : Buffer.from("x"),
        header({
          shards: draw.pick([0, 1, 1, 2, 100_000, 100_001, 2 ** 40]),
          bigEndian: draw.once(4),
          minConsumer: draw.pick([0, 0, 1, 2, 99]),
        }),
      ];
    }
  }
  if (!draw.once(6)) spoiled.sort(([a], [b]) => Buffer.compare(a, b));
  return spoiled;
}

/** A file whose blocks, places or rows are wrong, with right checks nearly always. */
function spoilTable(table: Table, draw: Draw): Buffer {
  const data = table.data.map((block): Block => ({ ...block }));
  const block = draw.pick(data);
  const same = { ...table, data };
  return draw.weighted<Buffer>([
    [
      5,
      () => {
        block.stored = changeInPlace(block.stored, draw);
        return putTogether(same);
      },
    ],
    [
      3,
      () => {
        block.stored = changeBytes(block.stored, draw);
        return putTogether(same);
      },
    ],
    [
      1,
      () => {
        block.type = draw.pick([0, 1, 2, 7, 255]);
        if (draw.once(2)) block.crcError = 1 + draw.below(1000);
        return putTogether(same);
      },
    ],
    [2, () => putTogether(same, { index: (rows) => changeBytes(rows, draw) })],
    [1, () => putTogether(same, { index: (rows) => compress(rows), indexType: draw.pick([1, 1, 0]) })],
    [
      2,
      () =>
        putTogether(same, {
          handles: (handles) => {
            const handle = draw.pick(handles);
            const other = draw.pick(handles);
            const value = Number(draw.pick([0n, 1n, 5n, 2n ** 31n, 2n ** 32n, 2n ** 53n - 1n]));
            if (draw.once(3)) Object.assign(handle, other);
            else if (draw.once(2)) handle.size = draw.pick([value, handle.size + 1, handle.size - 1]);
            else handle.offset = draw.pick([value, handle.offset + 1, Math.max(0, handle.offset - 1)]);
            if (draw.once(3)) for (let n = draw.below(20); n >= 0; n--) handles.push({ ...handle });
          },
        }),
    ],
    [
      7,
      () => {
        const rows = spoiledRows(
          table.data.flatMap((each) => rowsOf(plainOf(each))),
          draw,
        );
        return putTogether({
          ...table,
          data: [{ stored: blockOf(rows), type: 0 }],
          keys: [Buffer.from([255])],
        });
      },
    ],
  ]);
}

/** A checkpoint's index: bytes, blocks under right checks, places of blocks, descriptions of tensors. */
export function indexTarget(): Target {
  const bases = ["checkpoints/blocks", "micro", "checkpoints/shards", "checkpoints/types"].map(fixture);
  const files = bases.map((base) => base.get(INDEX) as Buffer);
  const tables = files.map(takeApart);
  return {
    bases,
    mutate: (draw, base) => {
      const [file, table] = [files[base] as Buffer, tables[base] as Table];
      return new Map([[INDEX, draw.once(6) ? changeBytes(file, draw) : spoilTable(table, draw)]]);
    },
    run,
    reached: [
      /checksum of a block does not match/,
      /a block lies outside the file/,
      /shares more bytes than the key before it has/,
      /keys are not in order/,
      /a number is too large/,
      /a number has no end/,
      /wire type \d is unknown/,
      /ends in the middle of a value/,
      /does not match its shape/,
      /unknown shape/,
      /stored in slices/,
      /is not UTF-8/,
      /in data file \d+ of \d+/,
      /big-endian/,
      /reader of version/,
      /names \d+ data files/,
      /where its index describes \d+:/,
      /where its index describes tensors of/,
      /compression \d+ is unknown/,
      /the checksum of \S+ does not match/,
    ],
  };
}

/** A compressed stream written down element by element: literals and copies of any length from anywhere. */
function anyStream(draw: Draw): Buffer {
  const parts: Buffer[] = [
    Buffer.from(draw.pick([[0], [5], [100], [0xff, 0x7f], [0xff, 0xff, 0xff, 0xff, 0x0f], [0x80]])),
  ];
  for (let n = draw.below(6); n >= 0; n--) {
    const size = draw.below(64);
    const offset = draw.pick([0, 1, 2, 60, 255, 65535]);
    const long = Buffer.alloc(4);
    long.writeUInt32LE(draw.pick([0, 1, 60, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffa, 0xffffffff]));
    parts.push(
      draw.weighted<Buffer>([
        [
          3,
          () =>
            Buffer.concat([
              Buffer.from([(size % 60) << 2]),
              Buffer.alloc(draw.once(5) ? size : (size % 60) + 1, 97),
            ]),
        ],
        [
          2,
          () =>
            Buffer.concat([
              Buffer.from([(60 + draw.below(3)) << 2]),
              long.subarray(0, 1 + draw.below(3)),
              Buffer.alloc(size),
            ]),
        ],
        [2, () => Buffer.concat([Buffer.from([63 << 2]), long, Buffer.alloc(size)])],
        [2, () => Buffer.from([1 | ((size & 7) << 2) | ((offset >> 8) << 5), offset & 255])],
        [2, () => Buffer.from([2 | (size << 2), offset & 255, offset >> 8])],
        [2, () => Buffer.concat([Buffer.from([3 | (size << 2)]), long])],
      ]),
    );
  }
  return Buffer.concat(parts);
}

/** What the length at the beginning may say. */
const LENGTHS = [0, 1, 2 ** 16, 2 ** 24, 2 ** 28, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 35].map(
  (n) => {
    const bytesOfLength: number[] = [];
    let rest = n;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytesOfLength.push((rest % 128) | 128);
    return Buffer.from([...bytesOfLength, rest]);
  },
);

/** Compressed blocks: their streams, the lengths they claim, their checks. */
export function snappyTarget(): Target {
  const bases = ["checkpoints/snappy", "checkpoints/snappy_one_block"].map(fixture);
  const tables = bases.map((base) => takeApart(base.get(INDEX) as Buffer));
  /** Whether all compressed blocks of the last file are sound, or nothing is known of it. */
  let isSound: boolean | undefined;
  return {
    bases,
    mutate: (draw, base) => {
      const table = tables[base] as Table;
      const data = table.data.map((each): Block => ({ ...each }));
      const block = draw.pick(data);
      const lengthEnd = block.stored.findIndex((byte) => byte < 128) + 1;
      block.stored = draw.weighted<Buffer>([
        [6, () => changeInPlace(block.stored, draw)],
        [3, () => changeBytes(block.stored, draw)],
        [3, () => Buffer.concat([draw.pick(LENGTHS), block.stored.subarray(lengthEnd)])],
        [4, () => anyStream(draw)],
        [2, () => compress(changeBytes(plainOf(block), draw))],
        [1, () => Buffer.concat([block.stored, anyStream(draw).subarray(1)])],
        [1, () => compress(plainOf(block))],
      ]);
      block.type = draw.once(20) ? draw.pick([0, 2, 255]) : 1;
      if (draw.once(6)) block.crcError = 1 + draw.below(2 ** 31);
      isSound = !block.crcError && block.type === 1 && referenceUncompress(block.stored) !== undefined;
      return new Map([[INDEX, putTogether({ ...table, data })]]);
    },
    run: async (folder, files) => {
      await run(folder, files);
      assert.ok(isSound, "it loads although a block is no sound stream");
    },
    reached: [
      /compressed block cannot be read/,
      /checksum of a block/,
      /compression \d+ is unknown/,
      /keys are not in order/,
    ],
  };
}

/** The text file that names a folder's checkpoint. */
export function stateTarget(folder: string): Target {
  const base = fixture("micro");
  const text = base.get("checkpoint") as Buffer;
  const paths = [
    ...hostilePaths(folder, "model.ckpt"),
    "model.ckpt",
    "model.ckpt.index",
    "x".repeat(100_000),
  ];
  const quoted = (path: string, draw: Draw): string =>
    draw.weighted([
      [3, () => path],
      [
        2,
        () =>
          path.replace(/[^\w./]/g, (c) =>
            [...Buffer.from(c)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join(""),
          ),
      ],
      [1, () => [...Buffer.from(path.slice(0, 500))].map((byte) => `\\x${byte.toString(16)}`).join("")],
      [1, () => `\\033[31m\\n\\302\\233${path}`],
    ]);
  return {
    bases: [base],
    mutate: (draw) => {
      const named = `model_checkpoint_path: "${quoted(draw.pick(paths), draw)}"\n`;
      return new Map([
        [
          "checkpoint",
          draw.once(3)
            ? changeBytes(text, draw)
            : draw.once(3)
              ? changeBytes(Buffer.from(named), draw)
              : Buffer.from(named),
        ],
      ]);
    },
    run,
    reached: [/does not say which checkpoint/, /no such file/],
  };
}
