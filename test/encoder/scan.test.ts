import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Encoder, openAiVocabulary } from "../../dist/src/encoder/encoder.js";
import { Merger, type Merges } from "../../dist/src/encoder/merge.js";
import type { Vocabulary } from "../../dist/src/encoder/vocabulary.js";
import {
  BPE,
  BYTES,
  bothWays,
  escaped,
  JSON_TEXT,
  MERGES,
  numbers,
  PAIRS,
  plain,
  shuffled,
  TOKENS,
  write,
} from "../support/vocabulary.js";

const here = join(import.meta.dirname, "..");

/** What a Merger's table holds: the rank of each pair. */
function pairsIn(table: Int32Array): Map<string, number> {
  const ranks = new Map<string, number>();
  for (let slot = 0; slot < table.length; slot += 3) {
    if (table[slot] !== -1) ranks.set(`${table[slot]} ${table[slot + 1]}`, table[slot + 2]!);
  }
  return ranks;
}
/** What it must hold. */
function lastRanks({ left, right }: Merges): Map<string, number> {
  return new Map(Array.from(left, (id, rank) => [`${id} ${right[rank]}`, rank]));
}

/** Both ways must give the same result, and neither may fail. */
function assertSame(json: Buffer | string, bpe: Buffer | string, what: string): Vocabulary {
  const { scanned, parsed, wrong } = bothWays(Buffer.from(json), Buffer.from(bpe));
  assert.equal(wrong, undefined, what);
  assert.ok(scanned, `${what}: the scanner gave up`);
  assert.deepEqual(plain(scanned), plain(parsed!), what);
  assert.deepEqual(pairsIn(scanned.merges.table!), lastRanks(scanned.merges), what);
  // The table that came with the merges finds what the Merger's own does.
  const below = numbers(9);
  const [ours, theirs] = [new Merger(scanned.merges), new Merger(parsed!.merges)];
  for (let round = 0; round < 50; round++) {
    const first: Int32Array = Int32Array.from(
      { length: 60 },
      () => scanned.byteIds[below(4) ? 97 + below(26) : below(256)]!,
    );
    const second: Int32Array = first.slice();
    assert.deepEqual([ours.merge(first, 60), first], [theirs.merge(second, 60), second], what);
  }
  return scanned;
}

describe("the scanner gives what the parser gives", () => {
  const folders = {
    "OpenAI's": openAiVocabulary(),
    "the demo model's": join(here, "..", "models", "shakespeare"),
    "the smallest model's": join(here, "fixtures", "micro"),
  };
  for (const [name, folder] of Object.entries(folders)) {
    test(`${name} files, also written in other styles`, () => {
      const json = readFileSync(join(folder, "encoder.json"));
      const bpe = readFileSync(join(folder, "vocab.bpe"));
      const { offsets, merges } = assertSame(json, bpe, name);
      const table = JSON.parse(json.toString()) as Record<string, number>;
      assert.equal(offsets.length - 1, Object.keys(table).length);
      assert.equal(merges.left.length, bpe.toString().trimEnd().split("\n").length - 1);
      assertSame(
        JSON.stringify(table, null, 2),
        bpe.toString().replaceAll("\n", "\r\n"),
        "pretty-printed, CRLF",
      );
      const pairs = shuffled(Object.entries(table));
      assertSame(write(undefined, ":", ",", pairs), bpe, "ids in no order");
    });
  }

  const styles: Record<string, string> = {
    compact: write(undefined, ":", ","),
    spaced: `\r\n\t ${write(undefined, "\t\r\n : ", "\n\n,\t")} \r\n\t`
      .replace("{", "{ \n")
      .replace(/\}(\s*)$/, "\r}$1"),
    "lower case escapes": write(escaped((code) => code.toString(16))),
    "upper case escapes": write(escaped((code) => code.toString(16).toUpperCase())),
    "escaped slashes": write((text) => JSON.stringify(text).replaceAll("/", "\\/")),
    "last first": write(undefined, ": ", ", ", [...PAIRS].reverse()),
    "in no order": write(undefined, ": ", ", ", shuffled(PAIRS)),
    "an empty token": write(undefined, ": ", ", ", [...PAIRS, ["", PAIRS.length]]),
    "special tokens": write(undefined, ": ", ", ", [
      ...PAIRS,
      ["<pad>", TOKENS.length],
      ["[CLS]", TOKENS.length + 1],
    ]),
    __proto__: write(undefined, ": ", ", ", [...PAIRS, ["<__proto__", TOKENS.length]]),
    "no end of text": write(undefined, ": ", ", ", PAIRS.slice(0, -1)),
  };
  for (const [name, json] of Object.entries(styles)) {
    test(`encoder.json: ${name}`, () => {
      assertSame(json, BPE, name);
    });
  }

  const lists: Record<string, string | Buffer> = {
    "Windows line ends": BPE.replaceAll("\n", "\r\n"),
    "both line ends": BPE.replace("t h\n", "t h\r\n"),
    "no line end at the end": BPE.trimEnd(),
    "empty lines at the end": `${BPE}\n\r\n\n`,
    "a merge twice": `${BPE}t h\nth e\nt h\n`,
    "another order": ["#version", ...[...MERGES].reverse(), ""].join("\n"),
    "a version line that is no UTF-8": Buffer.concat([
      Buffer.from("#version \xff\xc3\0\r", "latin1"),
      Buffer.from(BPE.slice(13)),
    ]),
  };
  for (const [name, bpe] of Object.entries(lists)) {
    test(`vocab.bpe: ${name}`, () => {
      assertSame(JSON_TEXT, bpe, name);
    });
  }

  test("no merges at all, with and without a line end", () => {
    const bytesOnly = write(undefined, ": ", ", ", PAIRS.slice(0, 256));
    for (const bpe of ["#version", "#version\n", "#version: 0.2\r\n\r\n"]) {
      const { merges, endOfText } = assertSame(bytesOnly, bpe, JSON.stringify(bpe));
      assert.deepEqual([merges.left.length, endOfText], [0, undefined]);
    }
  });

  test("a token named __proto__ that merges make, and other things' names", () => {
    const merges = ["_ _", "p r", "o t", "pr ot", "prot o", "__ proto", "__proto __"];
    const pairs = [...BYTES, ...merges.map((merge) => merge.replace(" ", ""))].map(
      (token, id) => [token, id] as const,
    );
    const json = write(undefined, ": ", ", ", pairs);
    const { bytes, offsets } = assertSame(json, ["#version", ...merges].join("\n"), "__proto__");
    assert.equal(Buffer.from(bytes.subarray(offsets[262], offsets[263])).toString(), "__proto__");
  });
});

describe("the scanner gives up", () => {
  const more = (entry: string): string => JSON_TEXT.replace(/\}$/, `, ${entry}}`);
  const n = TOKENS.length;
  /** With one more token, of these bytes as they are. */
  const withBytes = (...bytes: number[]): Buffer => {
    const [before, after] = more(`"<@@": ${n}`).split("@@");
    return Buffer.concat([Buffer.from(before!), Buffer.from(bytes), Buffer.from(after!)]);
  };

  // Fine for the parser, but nobody writes it so.
  const unusual: Record<string, [json: string | Buffer, bpe: string]> = {
    "a token twice": [more(`"the": 257`), BPE],
    "a token twice, with different ids": [JSON_TEXT.replace("{", `{"a": ${n}, `), BPE],
    "a token twice, once escaped": [more(`"\\u0074he": 257`), BPE],
    "an id with a point": [JSON_TEXT.replace(/: 5,/, ": 5.0,"), BPE],
    "an id with an exponent": [JSON_TEXT.replace(/: 100,/, ": 1e2,"), BPE],
    "minus zero": [JSON_TEXT.replace(/: 0,/, ": -0,"), BPE],
  };
  for (const [name, [json, bpe]] of Object.entries(unusual)) {
    test(`${name}: the parser reads it`, () => {
      const { scanned, parsed, wrong } = bothWays(Buffer.from(json), Buffer.from(bpe));
      assert.equal(scanned, undefined);
      assert.ok(parsed, wrong);
      assert.equal(Encoder.fromFiles(Buffer.from(json), Buffer.from(bpe), "here").n_vocab, n);
    });
  }

  const wrongJson: Record<string, string | Buffer> = {
    nothing: "",
    whitespace: " \n",
    "an empty table": "{}",
    "an array": "[]",
    "no end": JSON_TEXT.slice(0, -1),
    "cut within a token": JSON_TEXT.slice(0, JSON_TEXT.indexOf("<|end") + 3),
    "cut within an escape": `${JSON_TEXT.slice(0, JSON_TEXT.indexOf("<|end"))}\\u01`,
    "something behind it": `${JSON_TEXT} {}`,
    "a zero byte behind it": `${JSON_TEXT}\0`,
    "a comma before the end": JSON_TEXT.replace(/\}$/, ",}"),
    "a comma at the beginning": JSON_TEXT.replace("{", "{,"),
    "no comma": JSON_TEXT.replace(", ", " "),
    "a form feed": JSON_TEXT.replace(", ", ",\f"),
    "a space of another kind": JSON_TEXT.replace(", ", ",\u00a0"),
    "a token in single quotes": JSON_TEXT.replace('"a"', "'a'"),
    "a zero in front of an id": JSON_TEXT.replace(": 5,", ": 05,"),
    "a plus": JSON_TEXT.replace(": 5,", ": +5,"),
    "no id": JSON_TEXT.replace(": 5,", ": ,"),
    "an id that is text": JSON_TEXT.replace(": 5,", ': "5",'),
    "an id of null": JSON_TEXT.replace(": 5,", ": null,"),
    "a negative id": JSON_TEXT.replace(": 5,", ": -5,"),
    "a broken id": JSON_TEXT.replace(": 5,", ": 5.5,"),
    "an id twice": JSON_TEXT.replace(": 5,", ": 6,"),
    "an id too large": JSON_TEXT.replace(": 5,", `: ${n},`),
    "an id of 2^32 + 5": JSON_TEXT.replace(": 5,", `: ${2 ** 32 + 5},`),
    "a huge id": JSON_TEXT.replace(": 5,", ": 99999999999999999999999999,"),
    "a token with a space": more(`"a b": ${n}`),
    "a token with a line end": more(`"<\\n": ${n}`),
    "a raw line end in a token": more(`"<\n": ${n}`),
    "a delete character": more(`"<\x7f": ${n}`),
    "a soft hyphen": more(`"<\u00ad": ${n}`),
    "an unknown escape": more(`"<\\x41": ${n}`),
    "an escape that is none": more(`"<\\u00g1": ${n}`),
    "an escaped minus": more(`"<\\u-041": ${n}`),
    "the first character beyond": more(`"<\u0144": ${n}`),
    "the same, escaped": more(`"<\\u0144": ${n}`),
    "U+0180": more(`"<\u0180": ${n}`),
    "U+0180, escaped": more(`"<\\u0180": ${n}`),
    "U+4F60": more(`"<\u4f60": ${n}`),
    "U+FFFF, escaped": more(`"<\\uffff": ${n}`),
    "half a surrogate pair": more(`"<\\ud83d": ${n}`),
    "UTF-8 of too many bytes": withBytes(0xc1, 0xa1),
    "Latin-1": withBytes(0xe9),
    "UTF-8 that ends early": withBytes(0xc3),
    "UTF-8 that begins late": withBytes(0xa9),
    "UTF-8 that ends in a beginning": withBytes(0xc3, 0xe9),
    "UTF-16": Buffer.from(JSON_TEXT, "utf16le"),
    "a byte without a token": JSON_TEXT.replace('"a"', '"<a"'),
    "a token without a merge": more(`"zz": ${n}`),
  };
  const wrongBpe: Record<string, string | Buffer> = {
    nothing: "",
    "no version": BPE.slice(BPE.indexOf("\n") + 1),
    "half a version": "#vers",
    "one token": `${BPE}ab\n`,
    "one token at the end": `${BPE}ab`,
    "one token and a space": `${BPE}ab \n`,
    "one token and a space at the end": `${BPE}ab `,
    "a space in front": BPE.replace("\na b\n", "\n a b\n"),
    "a space behind": BPE.replace("\na b\n", "\na b \n"),
    "two spaces": BPE.replace("\na b\n", "\na  b\n"),
    "three tokens": `${BPE}a b c\n`,
    "a tab": BPE.replace("\na b\n", "\na\tb\n"),
    "an empty line": BPE.replace("\na b\n", "\n\na b\n"),
    "an empty line first": BPE.replace("\n", "\r\n\n"),
    "an empty line and a merge at the end": `${BPE}\na b`,
    "an empty line and a space at the end": `${BPE}\n `,
    "a carriage return in a line": BPE.replace("\na b\n", "\na\rb\n"),
    "a carriage return at the end": BPE.trimEnd() + "\r",
    "a lone carriage return on the last line": `${BPE}\r`,
    "two carriage returns": BPE.replace("\na b\n", "\na b\r\r\n"),
    "carriage returns alone": BPE.replaceAll("\n", "\r"),
    "a zero byte at the end": `${BPE}\0`,
    "a zero byte in a line": BPE.replace("\na b\n", "\na b\0\n"),
    "an unknown first token": `${BPE}xy z\n`,
    "an unknown second token": `${BPE}z xy\n`,
    "an unknown result": `${BPE}x y\n`,
    "a merge missing": BPE.replace("\na b\n", "\n"),
    "the last merge missing": BPE.trimEnd().slice(0, BPE.trimEnd().lastIndexOf("\n")),
    "a byte that is no character": Buffer.concat([Buffer.from(`${BPE}a `), Buffer.of(0xff, 10)]),
    "a character that ends early": Buffer.concat([Buffer.from(`${BPE}a `), Buffer.of(0xc4)]),
  };
  const withEmpty = more(`"": ${n}`);
  const cases = [
    ["vocab.bpe: an empty first token, which there is", withEmpty, `${BPE} ab\n`] as const,
    ["vocab.bpe: an empty second token, which there is", withEmpty, `${BPE}ab \n`] as const,
    ...Object.entries(wrongJson).map(([name, json]) => [`encoder.json: ${name}`, json, BPE] as const),
    ...Object.entries(wrongBpe).map(([name, bpe]) => [`vocab.bpe: ${name}`, JSON_TEXT, bpe] as const),
  ];
  for (const [name, jsonText, bpeText] of cases) {
    test(`${name}: the message is the parser's`, () => {
      const [json, bpe] = [Buffer.from(jsonText), Buffer.from(bpeText)];
      const { scanned, wrong } = bothWays(json, bpe);
      assert.ok(wrong, "the parser accepts it");
      assert.equal(scanned, undefined);
      assert.throws(() => Encoder.fromFiles(json, bpe, "here"), { name: "UserError", message: wrong });
    });
  }
});
