import type { Draw } from "./draw.js";

const NUMBERS = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn].concat(
  [0xfffffffan, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
);

/** A number that readers stumble over, in 1, 2, 4 or 8 bytes, either end first, or in base 128. */
function hostileNumber(draw: Draw): Buffer {
  const value = draw.pick(NUMBERS);
  if (draw.once(3)) {
    const bytes: number[] = [];
    let rest = value;
    for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
    return Buffer.from([...bytes, Number(rest)]);
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  const some = bytes.subarray(0, draw.pick([1, 2, 4, 8]));
  return draw.once(3) ? Buffer.from(some).reverse() : some;
}

/** Changes some bytes and keeps their number. */
export function changeInPlace(bytes: Uint8Array, draw: Draw): Buffer {
  const changed = Buffer.from(bytes);
  if (changed.length === 0) return changed;
  for (let n = draw.below(3); n >= 0; n--) {
    const at = draw.below(changed.length);
    draw.weighted([
      [4, () => changed.writeUInt8(changed[at]! ^ (1 << draw.below(8)), at)],
      [2, () => changed.writeUInt8(draw.below(256), at)],
      [2, () => changed.writeUInt8(draw.pick([0, 1, 0x7f, 0x80, 0xff, 0xfe]), at)],
      [1, () => changed.writeUInt8((changed[at]! + draw.pick([1, 255])) & 255, at)],
      [3, () => changed.set(hostileNumber(draw).subarray(0, changed.length - at), at)],
      [
        1,
        () => changed.fill(draw.pick([0, 0xff, 0x80]), at, Math.min(changed.length, at + 1 + draw.below(12))),
      ],
    ]);
  }
  return changed;
}

/** Changes some bytes: in place, or by leaving out, repeating, inserting, exchanging or cutting. */
export function changeBytes(bytes: Uint8Array, draw: Draw): Buffer {
  const whole = Buffer.from(bytes);
  const at = draw.below(whole.length + 1);
  const to = Math.min(whole.length, at + 1 + draw.below(draw.once(4) ? 64 : 4));
  const before = whole.subarray(0, at);
  return draw.weighted<Buffer>([
    [8, () => changeInPlace(whole, draw)],
    [2, () => Buffer.concat([before, whole.subarray(to)])],
    [1, () => Buffer.concat([whole.subarray(0, to), whole.subarray(at)])],
    [2, () => Buffer.concat([before, hostileNumber(draw), whole.subarray(at)])],
    [1, () => Buffer.concat([before, Buffer.alloc(1 + draw.below(40), draw.below(256)), whole.subarray(at)])],
    [1, () => before],
    [
      1,
      () => {
        const from = draw.below(whole.length + 1);
        return Buffer.concat([before, whole.subarray(from, from + 1 + draw.below(32)), whole.subarray(to)]);
      },
    ],
  ]);
}
