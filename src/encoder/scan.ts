import { readFileSync } from "node:fs";
import { pairSlots } from "./merge.js";
import { BYTE_OF, END_OF_TEXT, type Vocabulary } from "./vocabulary.js";

/** A number that the scanner exports. */
interface Exported {
  readonly value: number;
}

/** The exports of assembly/vocabulary/. Places are byte offsets. */
interface Scanner {
  readonly memory: WebAssembly.Memory;
  reserve(length: number): number;
  scanTokens(json: number, length: number): number;
  scanMerges(bpe: number, length: number): number;
  tableOfPairs(slots: number): number;
  idOf(text: number, length: number): number;
  readonly byteOf: Exported;
  readonly n_vocab: Exported;
  readonly bytes: Exported;
  readonly offsets: Exported;
  readonly merges: Exported;
  readonly left: Exported;
  readonly right: Exported;
  readonly result: Exported;
}

/** No vocabulary worth the memory has larger files. */
const LONGEST = 1 << 26;
const LINE_FEED = 10;
const VERSION = Buffer.from("#version");

let compiled: WebAssembly.Module | undefined;

/** A new scanner with its own memory, which is freed with it. */
function newScanner(): Scanner {
  compiled ??= new WebAssembly.Module(readFileSync(new URL("scan.wasm", import.meta.url)));
  return new WebAssembly.Instance(compiled, {}).exports as unknown as Scanner;
}

/**
 * The same as parseVocabulary() without a string or object per token, in WebAssembly: in a new process, JavaScript
 * would still be interpreted by the time everything is read.
 * @returns undefined for anything wrong or unusual, which parseVocabulary() then reads or reports
 */
export function scanVocabulary(encoderJson: Uint8Array, vocabBpe: Uint8Array): Vocabulary | undefined {
  if (typeof WebAssembly === "undefined") return undefined; // node --jitless
  if (encoderJson.length > LONGEST || vocabBpe.length > LONGEST) return undefined;
  if (!VERSION.every((c, i) => vocabBpe[i] === c)) return undefined;
  const secondLine = vocabBpe.indexOf(LINE_FEED) + 1 || vocabBpe.length;
  try {
    return scan(newScanner(), encoderJson, vocabBpe.subarray(secondLine));
  } catch (error) {
    // Out of memory: the parser may need less, or reports what is wrong.
    if (error instanceof RangeError || (error as Error).name === "RuntimeError") return undefined;
    throw error;
  }
}

function scan(scanner: Scanner, encoderJson: Uint8Array, mergeLines: Uint8Array): Vocabulary | undefined {
  /** A copy in the scanner's memory, followed by zeros. */
  const place = (bytes: Uint8Array): number => {
    const at = scanner.reserve(bytes.length + 8);
    new Uint8Array(scanner.memory.buffer).set(bytes, at);
    return at;
  };
  new Int16Array(scanner.memory.buffer, scanner.byteOf.value, BYTE_OF.length).set(BYTE_OF);
  if (!scanner.scanTokens(place(encoderJson), encoderJson.length)) return undefined;
  if (!scanner.scanMerges(place(mergeLines), mergeLines.length)) return undefined;
  const allBytes = place(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  const byteIds = Int32Array.from({ length: 256 }, (_, byte) => scanner.idOf(allBytes + byte, 1));
  if (byteIds.includes(-1)) return undefined;
  const endOfText = scanner.idOf(place(Buffer.from(END_OF_TEXT)), END_OF_TEXT.length);
  const slots = pairSlots(scanner.merges.value);
  const table = scanner.tableOfPairs(slots);

  // Nothing is reserved from here on, so the buffer stays valid.
  const { buffer } = scanner.memory;
  const column = (at: number, length: number): Int32Array => new Int32Array(buffer, at, length).slice();
  const n = scanner.merges.value;
  const offsets = new Uint32Array(buffer, scanner.offsets.value, scanner.n_vocab.value + 1).slice();
  return {
    bytes: new Uint8Array(buffer, scanner.bytes.value, offsets.at(-1)).slice(),
    offsets,
    byteIds,
    merges: {
      left: column(scanner.left.value, n),
      right: column(scanner.right.value, n),
      result: column(scanner.result.value, n),
      table: column(table, 3 * slots),
    },
    endOfText: endOfText === -1 ? undefined : endOfText,
  };
}
