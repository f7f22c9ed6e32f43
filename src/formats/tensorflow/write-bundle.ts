import type { BundleEntry, BundleIndex } from "./bundle.js";
import { writeTable } from "./write-table.js";
import { MessageWriter } from "./write-wire.js";

/**
 * The bytes of an index file, `<prefix>.index`: what readIndex() reads.
 * Source: TensorFlow's core/protobuf/tensor_bundle.proto.
 * @param blockSize bytes after which a block of the table is closed; TensorFlow's own by default
 */
export function writeIndex({ shards, entries }: BundleIndex, blockSize?: number): Buffer {
  const rows = [...entries].map(([name, entry]) => ({ key: Buffer.from(name), value: entryMessage(entry) }));
  rows.sort((a, b) => Buffer.compare(a.key, b.key));
  return writeTable([{ key: Buffer.alloc(0), value: headerMessage(shards) }, ...rows], blockSize);
}

/** BundleHeaderProto; the numbers are little-endian, which is 0 and left out. */
function headerMessage(shards: number): Buffer {
  const version = new MessageWriter().varint(1, 1).finish(); // written by producer 1
  return new MessageWriter().varint(1, shards).bytes(3, version).finish();
}

/** BundleEntryProto. */
function entryMessage({ dtype, shape = [], shard, offset, size, maskedCrc }: BundleEntry): Buffer {
  const dimensions = new MessageWriter();
  for (const length of shape) dimensions.bytes(2, new MessageWriter().varint(1, length).finish());
  return new MessageWriter()
    .varint(1, dtype)
    .bytes(2, dimensions.finish())
    .varint(3, shard)
    .varint(4, offset)
    .varint(5, size)
    .fixed32(6, maskedCrc)
    .finish();
}
