import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { get_encoding, type Tiktoken } from "tiktoken";
import { Encoder, loadEncoder } from "../../dist/src/encoder/encoder.js";
import { UserError } from "../../dist/src/system/errors.js";

const fixtures = join(import.meta.dirname, "../fixtures");
const read = (...path: string[]): string => readFileSync(join(fixtures, ...path), "utf8");

let folder: string;
let gpt2: Encoder;
let oracle: Tiktoken;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gpt2-encoder-"));
  gpt2 = await loadEncoder(folder);
  oracle = get_encoding("gpt2");
});
after(async () => {
  oracle.free();
  await rm(folder, { recursive: true });
});

/** Whole numbers below n, the same in every run. */
function numbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

// Blocks that were complete before Unicode 15: Node and tiktoken may know different later letters.
const RANGES: readonly (readonly [number, number])[] = [
  [0x00, 0x7f],
  [0x20, 0x7e],
  [0x61, 0x7a],
  [0x30, 0x39],
  [0x80, 0xff],
  [0x100, 0x24f],
  [0x300, 0x36f], // combining marks
  [0x391, 0x3a1],
  [0x410, 0x44f],
  [0x5d0, 0x5ea],
  [0x627, 0x669],
  [0x905, 0x94d],
  [0x2000, 0x206f], // spaces and joiners
  [0x2150, 0x2188], // fractions and Roman numerals
  [0x3041, 0x3096],
  [0x4e00, 0x9fa5],
  [0xac00, 0xd7a3],
  [0xe000, 0xe0ff], // private use
  [0xfe00, 0xfe0f], // variation selectors
  [0xff01, 0xff5e],
  [0x1d400, 0x1d454], // mathematical letters
  [0x1f300, 0x1f64f], // emoji
  [0x20000, 0x200ff],
  [0x10fff0, 0x10ffff],
];
// What Python, JavaScript and a reader each take for whitespace, or nearly.
const SPACES = [
  ..."\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e\u2000\u2009\u200a\u200b\u2028\u2029",
].concat([..."\u202f\u205f\u2060\u3000\ufeff"], [" ", " ", "  ", "\r\n", "\n\n"]);
const ENDINGS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'r", "'l", "'", "''s", "<|endoftext|>"];

function randomText(below: (n: number) => number): string {
  const parts: string[] = [];
  for (let part = below(12); part >= 0; part--) {
    const what = below(6);
    if (what < 2) parts.push(SPACES[below(SPACES.length)]!);
    else if (what === 2) parts.push(ENDINGS[below(ENDINGS.length)]!);
    else {
      const [first, last] = RANGES[below(RANGES.length)]!;
      for (let n = below(6); n >= 0; n--) parts.push(String.fromCodePoint(first + below(last - first + 1)));
    }
  }
  return parts.join("");
}

/** The text of ids pushed one at a time. */
function streamed(encoder: Encoder, ids: Iterable<number>): string {
  const decoder = encoder.decoder();
  let text = "";
  for (const id of ids) text += decoder.push(id);
  return text + decoder.end();
}

describe("OpenAI's ids", () => {
  test("every line of the fixtures, both ways", () => {
    const lines = read("tokenizer.jsonl").trimEnd().split("\n");
    assert.equal(lines.length, 320);
    for (const line of lines) {
      const { text, ids } = JSON.parse(line) as { text: string; ids: number[] };
      assert.deepEqual(gpt2.encode(text), ids, line);
      assert.equal(gpt2.decode(ids), text, line);
      assert.equal(streamed(gpt2, ids), text, line);
    }
  });

  test("random Unicode texts, against tiktoken, and back", () => {
    const below = numbers(1);
    for (let i = 0; i < 5000; i++) {
      const text = randomText(below);
      const ids = gpt2.encode(text);
      assert.deepEqual(ids, [...oracle.encode_ordinary(text)], JSON.stringify(text));
      assert.equal(gpt2.decode(ids), text, JSON.stringify(text));
    }
  });

  test("every character of whitespace and its neighbours, between words and before 's", () => {
    for (let code = 0; code < 0x3100; code++) {
      if (/[\p{L}\p{N}\p{Cn}]/u.test(String.fromCodePoint(code))) continue;
      const c = String.fromCodePoint(code);
      for (const text of [`a${c}${c}b`, `${c}'s`, ` ${c} a`, c]) {
        assert.deepEqual(gpt2.encode(text), [...oracle.encode_ordinary(text)], JSON.stringify(text));
      }
    }
  });

  test("long pieces: runs, random letters, Chinese, emoji", () => {
    const below = numbers(2);
    const pieces = ["a", "=", " ", "ab", "\n", "\u0300", "9", "\u4e00", "\u{1f600}", "\xa0 "].map((unit) =>
      unit.repeat(1500),
    );
    for (let i = 0; i < 300; i++) {
      const [first, size] = [
        [97, 26],
        [97, 2],
        [0x4e00, 5000],
        [0x1f600, 70],
      ][i % 4]! as [number, number];
      const length = 40 + below(i < 150 ? 40 : 600);
      pieces.push(Array.from({ length }, () => String.fromCodePoint(first + below(size))).join(""));
    }
    for (const text of pieces) {
      assert.deepEqual(gpt2.encode(text), [...oracle.encode_ordinary(text)], text.slice(0, 40));
    }
  });

  test("a piece of a million characters overflows no stack", () => {
    const below = numbers(3);
    const letters = Buffer.from(Array.from({ length: 100_000 }, () => 97 + below(26))).toString();
    for (const text of [letters.repeat(3), " ".repeat(1_000_000), `${"a".repeat(500_000)} b`]) {
      const ids = gpt2.encode(text);
      assert.ok(gpt2.decode(ids) === text); // not assert.equal, which would show both
    }
  });

  test("more different words than are remembered", () => {
    const below = numbers(4);
    const words = Array.from({ length: 40_000 }, () => below(2 ** 31).toString(36));
    const text = [...words, ...words.slice(0, 5000)].join(" ");
    assert.deepEqual(gpt2.encode(text), [...oracle.encode_ordinary(text)]);
  });

  test("<|endoftext|> in a text is ordinary text", () => {
    assert.deepEqual(gpt2.encode("<|endoftext|>"), [27, 91, 437, 1659, 5239, 91, 29]);
    assert.equal(gpt2.endOfText, 50256);
    assert.equal(gpt2.decode([50256]), "<|endoftext|>");
    assert.equal(gpt2.n_vocab, 50257);
  });

  test("a lone surrogate counts as U+FFFD", () => {
    for (const text of [
      "\ud83d",
      "\ude00",
      "a\ud83db",
      "\ude00\ud83d",
      "\ud83d ",
      " \ud83d's",
      "\ud83d".repeat(99),
    ]) {
      const replaced = Buffer.from(text).toString();
      assert.deepEqual(gpt2.encode(text), [...oracle.encode_ordinary(replaced)], JSON.stringify(text));
      assert.equal(gpt2.decode(gpt2.encode(text)), replaced);
    }
  });
});

describe("decoding", () => {
  test("streams: the text so far never breaks a character, and all of it is the whole decode", () => {
    const text = "\ufeffna\u00efve \u4f60\u597d\ud83d\udc69\u200d\ud83d\ude80! \u0928\u092e\ufeff\u2603";
    const ids = gpt2.encode(text);
    for (let split = 0; split <= ids.length; split++) {
      const decoder = gpt2.decoder();
      let head = "";
      for (const id of ids.slice(0, split)) head += decoder.push(id);
      assert.ok(text.startsWith(head) && !head.includes("\ufffd"), JSON.stringify(head));
      let tail = "";
      for (const id of ids.slice(split)) tail += decoder.push(id);
      assert.equal(head + tail + decoder.end(), text);
      assert.equal(streamed(gpt2, ids.slice(0, split)), gpt2.decode(ids.slice(0, split)));
      assert.equal(streamed(gpt2, ids.slice(split)), gpt2.decode(ids.slice(split)));
    }
  });

  test("a character comes with its last byte, once", () => {
    const decoder = gpt2.decoder();
    const texts = [...gpt2.encode("\u{1f680}")].map((id) => decoder.push(id));
    assert.ok(texts.length > 1);
    assert.deepEqual(texts, [...new Array(texts.length - 1).fill(""), "\u{1f680}"]);
    assert.equal(decoder.end(), "");
  });

  // From CPython 3.11: bytes.fromhex(...).decode("utf-8", errors="replace").
  const INVALID: readonly (readonly [string, string])[] = [
    ["ff", "\ufffd"],
    ["80", "\ufffd"],
    ["c3", "\ufffd"],
    ["c328", "\ufffd("],
    ["e282", "\ufffd"],
    ["e28241", "\ufffdA"],
    ["e2e282ac", "\ufffd\u20ac"],
    ["f0", "\ufffd"],
    ["f09f", "\ufffd"],
    ["f09f98", "\ufffd"],
    ["f09f9841", "\ufffdA"],
    ["f09f98f09f9880", "\ufffd\ud83d\ude00"],
    ["eda080", "\ufffd\ufffd\ufffd"],
    ["edbfbf61", "\ufffd\ufffd\ufffda"],
    ["f4908080", "\ufffd\ufffd\ufffd\ufffd"],
    ["f48fbfbf", "\udbff\udfff"],
    ["c080", "\ufffd\ufffd"],
    ["e080af", "\ufffd\ufffd\ufffd"],
    ["f0808080", "\ufffd\ufffd\ufffd\ufffd"],
    ["f8888080", "\ufffd\ufffd\ufffd\ufffd"],
    ["c2c2c2a9", "\ufffd\ufffd\u00a9"],
    ["fe41ff", "\ufffdA\ufffd"],
    ["efbb", "\ufffd"],
    ["efbbbf", "\ufeff"],
    ["efbbbf61", "\ufeffa"],
    ["61efbbbf", "a\ufeff"],
    ["efbbbfefbbbf", "\ufeff\ufeff"],
  ];

  test("invalid bytes become what Python makes of them", () => {
    const ids = new Map<string, number>();
    for (let id = 0; id < gpt2.n_vocab; id++) ids.set(Buffer.from(gpt2.tokenBytes(id)).toString("hex"), id);
    for (const [hex, text] of INVALID) {
      const bytes = hex.match(/../g)!.map((byte) => ids.get(byte)!);
      assert.equal(gpt2.decode(bytes), text, hex);
      assert.equal(streamed(gpt2, bytes), text, hex);
    }
  });

  test("after end() a decoder begins anew, a BOM included", () => {
    const decoder = gpt2.decoder();
    const bom = gpt2.encode("\ufeff");
    decoder.push(bom[0]!);
    assert.equal(decoder.end(), "\ufffd");
    assert.equal(bom.map((id) => decoder.push(id)).join("") + decoder.end(), "\ufeff");
  });

  test("an unknown id is an error that names it, and the decoder goes on", () => {
    for (const id of [50257, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      const wanted = { name: "UserError", message: new RegExp(`no token ${id}:.* 0 to 50256`) };
      assert.throws(() => gpt2.decode([0, id]), wanted);
      assert.throws(() => gpt2.tokenBytes(id), wanted);
      const decoder = gpt2.decoder();
      const [first, ...rest] = gpt2.encode("\u{1f680}");
      assert.equal(decoder.push(first!), "");
      assert.throws(() => decoder.push(id), wanted);
      assert.equal(rest.map((next) => decoder.push(next)).join(""), "\u{1f680}");
    }
  });

  test("decodes any iterable, and no ids at all", () => {
    assert.equal(gpt2.decode([]), "");
    assert.equal(gpt2.decode(new Set([15496, 995])), "Hello world");
    assert.equal(gpt2.decode(Int32Array.of(15496, 995)), "Hello world");
  });

  test("tokenBytes gives a copy", () => {
    gpt2.tokenBytes(15496).fill(0);
    assert.equal(Buffer.from(gpt2.tokenBytes(15496)).toString(), "Hello");
  });
});

/** The files' byte characters, written independently of the code: 0 to 32 are U+0100 and up, and so on. */
const BYTES = [...Array(256).keys()].map((byte) => {
  if (byte <= 32) return String.fromCharCode(0x100 + byte);
  if (byte >= 127 && byte <= 160) return String.fromCharCode(0x121 + byte - 127);
  return byte === 173 ? "\u0143" : String.fromCharCode(byte);
});

/** The two files of a vocabulary with these merges and nothing else. */
function vocabulary(merges: readonly string[]): { table: Record<string, unknown>; bpe: string } {
  const tokens = new Set([...BYTES, ...merges.map((merge) => merge.replace(" ", "")), "<|endoftext|>"]);
  const table = Object.fromEntries([...tokens].map((token, id) => [token, id]));
  return { table, bpe: ["#version: 0.2", ...merges, ""].join("\n") };
}

function encoderOf(merges: readonly string[]): Encoder {
  const { table, bpe } = vocabulary(merges);
  return Encoder.fromFiles(JSON.stringify(table), bpe, "here");
}

/** The paper's algorithm on text, as simply as possible: each round merges the best pair everywhere. */
function plainMerges(word: string, merges: readonly string[]): string[] {
  let parts = [...word];
  for (;;) {
    const pairs = parts.slice(1).map((part, i) => merges.lastIndexOf(`${parts[i]} ${part}`));
    const best = Math.min(...pairs.filter((rank) => rank >= 0));
    if (best === Number.POSITIVE_INFINITY) return parts;
    const [left, right] = merges[best]!.split(" ");
    const merged: string[] = [];
    for (let i = 0; i < parts.length; i++) {
      if (parts[i] === left && parts[i + 1] === right) {
        merged.push(parts[i]! + parts[++i]!);
      } else merged.push(parts[i]!);
    }
    parts = merged;
  }
}

describe("other vocabularies", () => {
  test("micro's 400 tokens", () => {
    const micro = Encoder.fromFiles(read("micro", "encoder.json"), read("micro", "vocab.bpe"), "micro");
    const merges = read("micro", "vocab.bpe").trimEnd().split("\n").slice(1);
    const table = new Map(
      Object.entries(JSON.parse(read("micro", "encoder.json")) as Record<string, number>),
    );
    assert.equal(micro.n_vocab, 400);
    assert.equal(micro.endOfText, 399);
    const below = numbers(5);
    for (let i = 0; i < 400; i++) {
      const word = Array.from({ length: 1 + below(i % 4 ? 12 : 120) }, () => "etaonirshd"[below(10)]!).join(
        "",
      );
      const ids = micro.encode(word);
      assert.deepEqual(
        ids,
        plainMerges(word, merges).map((part) => table.get(part)),
        word,
      );
    }
    for (let i = 0; i < 2000; i++) {
      const text = randomText(below);
      assert.equal(micro.decode(micro.encode(text)), text, JSON.stringify(text));
    }
  });

  test("merges in any order, on short and on long pieces, against the plain algorithm", () => {
    const below = numbers(6);
    for (let round = 0; round < 60; round++) {
      const known = ["a", "b", "c"];
      const merges: string[] = [];
      while (merges.length < 20) {
        const merge = `${known[below(known.length)]} ${known[below(known.length)]}`;
        if (merges.includes(merge) && below(4)) continue; // now and then a pair comes twice: the later one holds
        merges.push(merge);
        known.push(merge.replace(" ", ""));
      }
      for (let i = merges.length - 1; i > 0; i--) {
        const j = below(i + 1);
        [merges[i], merges[j]] = [merges[j]!, merges[i]!];
      }
      const encoder = encoderOf(merges);
      const { table } = vocabulary(merges);
      for (const length of [1, 2, 5, 20, 47, 48, 49, 50, 200]) {
        const word = Array.from({ length }, () => "abc"[below(3)]!).join("");
        const parts = plainMerges(word, merges);
        assert.deepEqual(
          encoder.encode(word),
          parts.map((part) => table[part]),
          `${word} with ${merges.join(", ")}`,
        );
      }
    }
  });

  test("tokens with the names of an object's own things", () => {
    const merges = ["_ _", "p r", "o t", "pr ot", "prot o", "__ proto", "__proto __", "c o", "co n"];
    const encoder = encoderOf(merges);
    const ids = encoder.encode("constructor");
    assert.deepEqual(
      ids.map((id) => encoder.decode([id])),
      ["con", "s", "t", "r", "u", "c", "t", "o", "r"],
    );
    assert.equal(encoder.decode([262]), "__proto__");
    const { table } = vocabulary([]);
    const json = JSON.stringify(table).replace('"<|endoftext|>"', '"__proto__"');
    assert.throws(() => Encoder.fromFiles(json, "#version: 0.2\n", "here"), /no merge .*"__proto__"/);
    const name = encoder.encode("a constructor __proto__ toString").map((id) => encoder.decode([id]));
    assert.equal(name.join(""), "a constructor __proto__ toString");
    assert.throws(
      () => Encoder.fromFiles(JSON.stringify(table), "#version: 0.2\nt oString\n", "here"),
      /"oString"/,
    );
  });

  test("no merges, no end of text, Windows line ends", () => {
    const { table, bpe } = vocabulary([]);
    delete table["<|endoftext|>"];
    const encoder = Encoder.fromFiles(JSON.stringify(table), bpe, "here");
    assert.equal(encoder.n_vocab, 256);
    assert.equal(encoder.endOfText, undefined);
    assert.deepEqual(encoder.encode("\u00e9 "), [0xc3, 0xa9, 0x20]);
    const windows = vocabulary(["a b", "ab c"]);
    const crlf = Encoder.fromFiles(
      JSON.stringify(windows.table),
      windows.bpe.replaceAll("\n", "\r\n"),
      "here",
    );
    assert.deepEqual(crlf.encode("abc"), [257]);
  });
});

describe("files that are wrong", () => {
  const good = vocabulary(["a b", "ab c"]);
  const changed = (change: (table: Record<string, unknown>) => void): string => {
    const table = { ...good.table };
    change(table);
    return JSON.stringify(table);
  };
  const wrong: Record<string, [json: string, bpe: string, message: RegExp]> = {
    "no JSON": ["{", good.bpe, /encoder\.json is not valid JSON/],
    empty: ["", good.bpe, /encoder\.json is not valid JSON/],
    "an array": ["[]", good.bpe, /encoder\.json is not a table/],
    null: ["null", good.bpe, /encoder\.json is not a table/],
    "an empty table": ["{}", good.bpe, /encoder\.json has no token "\u0100" for the byte 0/],
    "an id that is text": [
      changed((t) => (t["abc"] = "257")),
      good.bpe,
      /encoder\.json: the id of "abc".*"257"/,
    ],
    "a negative id": [
      changed((t) => (t["abc"] = -1)),
      good.bpe,
      /encoder\.json: the id of "abc".* 0 to 258, not -1/,
    ],
    "a broken id": [changed((t) => (t["abc"] = 1.5)), good.bpe, /encoder\.json: the id of "abc".*1\.5/],
    "an id of null": [changed((t) => (t["abc"] = null)), good.bpe, /encoder\.json: the id of "abc".*null/],
    "an id too large": [changed((t) => (t["abc"] = 259)), good.bpe, /encoder\.json: the id of "abc".*259/],
    "an id twice": [changed((t) => (t["abc"] = 5)), good.bpe, /encoder\.json: two tokens have the id 5/],
    "a byte missing": [
      JSON.stringify(good.table).replace('"a"', '"a?"'),
      "#version: 0.2\n",
      /encoder\.json has no token "a" for the byte 97/,
    ],
    "a character that is no byte": [
      JSON.stringify(good.table).replace('"abc"', '"\u4f60"'),
      good.bpe,
      /encoder\.json: the token "\u4f60"/,
    ],
    "an empty list of merges": [JSON.stringify(good.table), "", /vocab\.bpe does not begin/],
    "no version": [JSON.stringify(good.table), "a b\nab c\n", /vocab\.bpe does not begin/],
    "one part": [JSON.stringify(good.table), "#version: 0.2\nab\n", /vocab\.bpe, line 2: "ab" is not two/],
    "three parts": [JSON.stringify(good.table), "#version: 0.2\na b\na b c\n", /vocab\.bpe, line 3: "a b c"/],
    "an empty part": [JSON.stringify(good.table), "#version: 0.2\na \n", /vocab\.bpe, line 2: "a " is not/],
    "an empty line": [JSON.stringify(good.table), "#version: 0.2\n\na b\n", /vocab\.bpe, line 2: "" is not/],
    "an unknown part": [JSON.stringify(good.table), "#version: 0.2\nxy z\n", /line 2: .* no token "xy"/],
    "an unknown result": [JSON.stringify(good.table), "#version: 0.2\na c\n", /line 2: .* no token "ac"/],
    "merges cut at the end of a line": [
      JSON.stringify(good.table),
      "#version: 0.2\na b\n",
      /vocab\.bpe has no merge .*"abc".*cut short/,
    ],
    "a very long line": [JSON.stringify(good.table), `#version: 0.2\n${"x".repeat(9999)}`, /^.{0,300}$/],
  };

  test("the good one is good", () => {
    assert.deepEqual(encoderOf(["a b", "ab c"]).encode("abcab"), [257, 256]);
  });

  for (const [name, [json, bpe, message]] of Object.entries(wrong)) {
    test(`${name}: one line that names the file`, () => {
      assert.throws(
        () => Encoder.fromFiles(json, bpe, join("some", "where")),
        (error) => {
          assert.ok(error instanceof UserError);
          assert.match(error.message, message);
          assert.match(error.message, /^some[/\\]where[/\\][^\n]*: download the model again/);
          return true;
        },
      );
    });
  }
});

describe("a model folder", () => {
  const good = vocabulary(["a b", "ab c"]);
  const make = async (name: string, files: Record<string, string>): Promise<string> => {
    const path = join(folder, name);
    await mkdir(path);
    for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text);
    return path;
  };

  test("with its own two files", async () => {
    const path = await make("own", { "encoder.json": JSON.stringify(good.table), "vocab.bpe": good.bpe });
    assert.equal((await loadEncoder(path)).n_vocab, 259);
  });

  test("with neither: OpenAI's", async () => {
    assert.deepEqual((await loadEncoder(await make("neither", {}))).encode("Hello world"), [15496, 995]);
  });

  test("with one of the two: the other is named", async () => {
    const noBpe = await make("no-bpe", { "encoder.json": JSON.stringify(good.table) });
    await assert.rejects(loadEncoder(noBpe), { name: "UserError", message: /no-bpe.vocab\.bpe is missing/ });
    const noJson = await make("no-json", { "vocab.bpe": good.bpe });
    await assert.rejects(loadEncoder(noJson), {
      name: "UserError",
      message: /no-json.encoder\.json is missing/,
    });
  });

  test("malformed: the file is named", async () => {
    const path = await make("malformed", { "encoder.json": "{}}", "vocab.bpe": good.bpe });
    await assert.rejects(loadEncoder(path), {
      name: "UserError",
      message: /malformed.encoder\.json is not valid/,
    });
  });

  test("that cannot be read, or is not there", async () => {
    const path = await make("folder", { "encoder.json": JSON.stringify(good.table) });
    await mkdir(join(path, "vocab.bpe"));
    await assert.rejects(loadEncoder(path), { name: "UserError", message: /cannot read .*vocab\.bpe/ });
    const missing = join(folder, "nowhere");
    await assert.rejects(loadEncoder(missing), {
      name: "UserError",
      message: /cannot read .*nowhere: no such/,
    });
    await writeFile(join(folder, "file"), "");
    await assert.rejects(loadEncoder(join(folder, "file")), {
      name: "UserError",
      message: /cannot read .*file/,
    });
  });
});
