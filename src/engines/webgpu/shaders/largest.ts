import type { SomeLogits } from "../../../model/engine.js";
import { PASS_LARGEST } from "./wgsl.js";

/** Ids are divided among this many bins, by remainder. */
export const BINS = 256;
/** The most logits that can be requested: half the bins, so that few others are as large as those found. */
export const MOST_LARGEST = BINS / 2;
/** Logits that a row's result has room for. */
export const LARGEST_ROOM = 512;
/** Words of a row's result: the number of logits, then each one's id and bits. */
export const LARGEST_WORDS = 1 + 2 * LARGEST_ROOM;

/**
 * A row's k largest logits, with all that tie with the k-th and usually a few more, in no order: one workgroup per row.
 * The k-th largest of the bins' maxima is at most the k-th largest logit, so nothing below it is needed. If there are
 * more than LARGEST_ROOM, or a logit is NaN, the count exceeds LARGEST_ROOM, and all logits must be read.
 * Logits are compared as bits, because WGSL does not define arithmetic with infinities and NaN.
 */
export function largestShader({ n_vocab, threads }: { n_vocab: number; threads: number }): string {
  return `
@group(0) @binding(0) var<storage, read> about_pass: array<u32>;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
var<workgroup> maxima: array<u32, ${BINS}>;
var<workgroup> least: u32;
var<workgroup> most: u32;
var<workgroup> count: atomic<u32>;
// Rises with the logit; both zeros are equal, and NaN is above infinity.
fn rank(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  if (bits <= 0x80000000u) { return bits | 0x80000000u; }
  return ~bits;
}
@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3u) {
  let row = group.x * ${n_vocab}u;
  let result = group.x * ${LARGEST_WORDS}u;
  let k = about_pass[${PASS_LARGEST}u];
  for (var bin = t; bin < ${BINS}u; bin += ${threads}u) {
    var own = 0u;
    for (var id = bin; id < ${n_vocab}u; id += ${BINS}u) { own = max(own, rank(logits[row + id])); }
    maxima[bin] = own;
  }
  workgroupBarrier();
  for (var bin = t; bin < ${BINS}u; bin += ${threads}u) {
    let own = maxima[bin];
    var before = 0u;
    for (var j = 0u; j < ${BINS}u; j++) {
      before += select(0u, 1u, maxima[j] > own || (maxima[j] == own && j < bin));
    }
    if (before == 0u) { most = own; }
    if (before == k - 1u) { least = own; }
  }
  workgroupBarrier();
  for (var id = t; id < ${n_vocab}u; id += ${threads}u) {
    let bits = logits[row + id];
    if (rank(bits) >= least) {
      let place = atomicAdd(&count, 1u);
      if (place < ${LARGEST_ROOM}u) {
        output[result + 1u + 2u * place] = id;
        output[result + 2u + 2u * place] = bits;
      }
    }
  }
  workgroupBarrier();
  if (t == 0u) { output[result] = select(atomicLoad(&count), 0xffffffffu, most >= 0xff800000u); }
}`;
}

/**
 * A row's result in order of id.
 * @param words as the program stores them, valid for this call
 * @returns undefined if all logits must be read
 */
export function readLargest(words: Float32Array): SomeLogits | undefined {
  const bits = new Uint32Array(words.buffer, words.byteOffset, words.length);
  const count = bits[0];
  if (count > LARGEST_ROOM) return undefined;
  const places = Array.from({ length: count }, (_, i) => 1 + 2 * i).sort((a, b) => bits[a] - bits[b]);
  return {
    ids: Uint32Array.from(places, (at) => bits[at]),
    logits: Float32Array.from(places, (at) => words[at + 1]),
  };
}
