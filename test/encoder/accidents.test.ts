import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BPE,
  bothWays,
  escaped,
  JSON_TEXT,
  numbers,
  PAIRS,
  plain,
  shuffled,
  write,
} from "../support/vocabulary.js";

/** The small vocabulary in one of a few styles. */
function styleOf(round: number): string {
  if (round % 4 === 0)
    return write(
      escaped((code) => code.toString(16)),
      ": ",
      ", ",
    );
  return write(undefined, ": ", ", ", shuffled(PAIRS));
}

test("2,000 files with accidents: the scanner gives up or agrees", () => {
  const below = numbers(8);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)]!;
  const SNIPPETS = [
    "\n",
    "\r\n",
    "\r",
    " ",
    "\0",
    '"',
    "\\",
    "\\u0074",
    "\\n",
    ",",
    ":",
    "{",
    "}",
    "0",
    "1",
    "\xc3",
    "\xa9",
  ].concat([
    "\xc4\xa0",
    "\xc5\x84",
    "\xed\xa0\xbd",
    "a b\n",
    "t h\n",
    '"a": 97, ',
    ', "ab": 266',
    "1e1",
    "-",
    ".0",
    "\xef\xbb\xbf",
  ]);
  const bytesOf = (text: string): Buffer => Buffer.from(text, "latin1");
  const accident = (file: Buffer, isJson: boolean): Buffer => {
    const at = below(file.length + 1);
    const to = Math.min(file.length, at + 1 + below(below(4) ? 3 : 40));
    switch (below(6)) {
      case 0: {
        const copy = Buffer.from(file);
        if (at < file.length) copy[at]! ^= 1 << below(8);
        return copy;
      }
      case 1:
        return Buffer.concat([file.subarray(0, at), file.subarray(to)]); // cut out
      case 2:
        return below(4)
          ? Buffer.concat([file.subarray(0, at), bytesOf(pick(SNIPPETS)), file.subarray(at)])
          : file.subarray(0, at);
      case 3:
        return Buffer.concat([file.subarray(0, to), file.subarray(at)]); // twice
      default: {
        const between = isJson ? ", " : "\n";
        const parts = file.toString("latin1").split(between);
        const [i, j] = [below(parts.length), below(parts.length)];
        if (below(3)) [parts[i], parts[j]] = [parts[j]!, parts[i]!];
        else parts.splice(i, below(2), ...(below(2) ? [parts[j]!] : []));
        return bytesOf(parts.join(between));
      }
    }
  };
  const seen = { same: 0, wrong: 0, unusual: 0 };
  for (let round = 0; round < 2000; round++) {
    let json: Buffer = Buffer.from(round % 2 ? JSON_TEXT : styleOf(round));
    let bpe: Buffer = Buffer.from(round % 3 ? BPE : BPE.replaceAll("\n", "\r\n"));
    for (let n = below(3); n >= 0; n--) {
      if (below(2)) json = accident(json, true);
      else bpe = accident(bpe, false);
    }
    const { scanned, parsed, wrong } = bothWays(json, bpe);
    const what = () =>
      `round ${round}: ${wrong ?? "fine"}\n${json.toString("latin1")}\n${bpe.toString("latin1")}`;
    if (scanned) {
      assert.ok(parsed, what());
      assert.deepEqual(plain(scanned), plain(parsed), what());
    }
    seen[scanned ? "same" : wrong ? "wrong" : "unusual"]++;
  }
  assert.ok(seen.same > 200 && seen.wrong > 300 && seen.unusual < 200, JSON.stringify(seen));
});
