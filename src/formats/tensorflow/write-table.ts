import { crc32c, maskCrc } from "../crc.js";
import type { TableEntry } from "./table.js";
import { ByteWriter } from "./wire.js";

/** TensorFlow closes a block once it has this many bytes. Source: core/lib/io/table_options.h. */
const BLOCK_SIZE = 256 << 10;
/** Every 16th key is written whole; the others share a prefix with the key before. */
const RESTART_INTERVAL = 16;
const HANDLES_BYTES = 40;
const MAGIC = Buffer.from("57fb808b247547db", "hex");

/**
 * Writes a sorted string table, byte for byte as TensorFlow does: uncompressed data blocks, an empty metadata block, the
 * index block, the footer.
 * Source: LevelDB's doc/table_format.md; TensorFlow's core/lib/io/table_builder.cc and block_builder.cc.
 * @param entries in strictly increasing byte order of their keys
 * @throws RangeError when they are not in order
 */
export function writeTable(entries: Iterable<TableEntry>, blockSize = BLOCK_SIZE): Buffer {
  const file = new ByteWriter();
  const places = new Block(1);
  let data = new Block(RESTART_INTERVAL);
  let last: Uint8Array | undefined;
  /** The handle of a closed block whose last key is `last`; its index entry also needs the next key. */
  let closed: Buffer | undefined;
  const close = (): void => {
    closed = seal(file, data.finish());
    data = new Block(RESTART_INTERVAL);
  };
  for (const { key, value } of entries) {
    if (last && Buffer.compare(last, key) >= 0) throw new RangeError("a table's keys must be in order");
    if (key.length + value.length >= 2 * blockSize && !data.isEmpty) close();
    if (closed && last) places.add(separator(last, key), closed);
    closed = undefined;
    data.add(key, value);
    if (data.size >= blockSize) close();
    last = key;
  }
  if (!data.isEmpty) close();
  const metadata = seal(file, new Block(RESTART_INTERVAL).finish());
  if (closed && last) places.add(successor(last), closed);
  const handles = Buffer.alloc(HANDLES_BYTES);
  Buffer.concat([metadata, seal(file, places.finish())]).copy(handles);
  return file.append(handles).append(MAGIC).finish();
}

/** A block being filled: entries, then the offsets of those with whole keys. */
class Block {
  private readonly writer = new ByteWriter();
  private readonly restarts = [0];
  private sinceRestart = 0;
  private last: Uint8Array = new Uint8Array(0);

  constructor(private readonly interval: number) {}

  get isEmpty(): boolean {
    return this.writer.length === 0;
  }

  /** Bytes that finish() would return. */
  get size(): number {
    return this.writer.length + 4 * this.restarts.length + 4;
  }

  add(key: Uint8Array, value: Uint8Array): void {
    let shared = 0;
    if (this.sinceRestart < this.interval) {
      shared = commonLength(this.last, key);
    } else {
      this.restarts.push(this.writer.length);
      this.sinceRestart = 0;
    }
    this.writer
      .varint(shared)
      .varint(key.length - shared)
      .varint(value.length)
      .append(key.subarray(shared))
      .append(value);
    this.last = key;
    this.sinceRestart += 1;
  }

  finish(): Buffer {
    for (const restart of this.restarts) this.writer.fixed32(restart);
    return this.writer.fixed32(this.restarts.length).finish();
  }
}

/** Appends a block with its type (0: uncompressed) and checksum. @returns its handle: offset and size */
function seal(file: ByteWriter, block: Buffer): Buffer {
  const place = new ByteWriter().varint(file.length).varint(block.length).finish();
  file
    .append(block)
    .byte(0)
    .fixed32(maskCrc(crc32c(Uint8Array.of(0), crc32c(block))));
  return place;
}

function commonLength(a: Uint8Array, b: Uint8Array): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** A short key >= a block's last key and < the next block's first. */
function separator(last: Uint8Array, next: Uint8Array): Uint8Array {
  const at = commonLength(last, next);
  if (at < last.length && last[at] < 255 && last[at] + 1 < next[at]) return cutAndRaised(last, at);
  return last;
}

/** A short key >= the last one. */
function successor(last: Uint8Array): Uint8Array {
  const at = last.findIndex((byte) => byte !== 255);
  return at < 0 ? last : cutAndRaised(last, at);
}

function cutAndRaised(key: Uint8Array, at: number): Uint8Array {
  const cut = Uint8Array.from(key.subarray(0, at + 1)); // a copy, which Buffer's slice() would not be
  cut[at] += 1;
  return cut;
}
