import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Encoder } from "../../dist/src/encoder/encoder.js";
import {
  addedToken,
  parseSpecialTokens,
  type SpecialTokens,
  specialTokensJson,
} from "../../dist/src/encoder/special-tokens.js";
import { ShownText } from "../../dist/src/sampling/stop.js";
import { MICRO } from "../support/spawn.js";

const micro = (name: string): string => readFileSync(join(MICRO, name), "utf8");
type Flags = Parameters<typeof addedToken>[1];

/** micro's vocabulary with some tokens more, whose ids are 400, 401, ... */
function withAdded(added: Record<string, Flags>, more: Partial<SpecialTokens> = {}): Encoder {
  const vocabulary = JSON.parse(micro("encoder.json")) as Record<string, number>;
  const tokens = Object.entries(added).map(([text, flags], i) => [text, addedToken(400 + i, flags)] as const);
  for (const [text, { id }] of tokens) vocabulary[text.replaceAll(" ", "\u0120")] = id;
  const special = { eos: [], begin: [], add_prefix_space: false, ...more, added: new Map(tokens) };
  return Encoder.fromFiles(JSON.stringify(vocabulary), micro("vocab.bpe"), "here", special);
}

/** A text's added tokens by id, and the texts between them. */
function parts(encoder: Encoder, text: string): (string | number)[] {
  const found: (string | number)[] = [];
  let between: number[] = [];
  const close = (): void => {
    if (between.length > 0) found.push(encoder.decode(between));
    between = [];
  };
  for (const id of encoder.encode(text)) {
    if (id < 400) between.push(id);
    else {
      close();
      found.push(id);
    }
  }
  close();
  return found;
}

test("added tokens: the longest, spaces beside them, whole words, the normalised ones last", () => {
  const cases: [Record<string, Flags>, string, (string | number)[]][] = [
    [{ "<a>": {}, "<a>b": {} }, "x<a>b<a>", ["x", 401, 400]],
    [{ "<a>": { special: true, lstrip: true } }, "x \n\u00a0<a> y", ["x", 400, " y"]],
    [{ "<a>": { special: true, rstrip: true } }, "x <a> \u2003y", ["x ", 400, "y"]],
    [{ "<a>": { lstrip: true, rstrip: true } }, "<a>  <a> ", [400, 400]],
    [
      { cat: { single_word: true } },
      "cat concat cats cat_ cat, (cat)",
      [400, " concat cats cat_ ", 400, ", (", 400, ")"],
    ],
    [{ caf: { single_word: true } }, "caf caf\u00e9 \u{10400}caf", [400, " caf\u00e9 \u{10400}caf"]],
    // The one that is looked for in the text as it is comes first, wherever it stands.
    [{ qz: {}, zj: { normalized: false } }, "qzj qz", ["q", 401, " ", 400]],
    [{ "a.b|c(": {}, "z^": {} }, "a.b|c(z^axb", [400, 401, "axb"]],
    [{ __proto__: {} } as Record<string, Flags>, "x", ["x"]],
  ];
  for (const [added, text, wanted] of cases) {
    assert.deepEqual(parts(withAdded(added), text), wanted, JSON.stringify([added, text]));
  }
});

test("special off: all is plain text; what OpenAI's encoder never reads it reads when asked to", () => {
  const own = withAdded({ "<a>": { special: true } });
  const plain = Encoder.fromFiles(micro("encoder.json"), micro("vocab.bpe"), "here");
  assert.deepEqual(own.encode("x<a>", { special: false }), plain.encode("x<a>"));
  assert.ok(!plain.encode("<|endoftext|>").includes(399));
  assert.deepEqual(plain.encode("<|endoftext|>a", { special: true }), [399, ...plain.encode("a")]);
});

test("a prefix space: before a text and behind each added token, not where a text goes on", () => {
  const encoder = withAdded({ "<a>": {} }, { add_prefix_space: true });
  assert.equal(encoder.decode(encoder.encode("b<a>c<a> d")), " b<a> c<a> d");
  assert.equal(encoder.decode(encoder.encode("b<a>c", { continues: true })), "b<a> c");
  assert.deepEqual(encoder.encode(""), []);
});

test("tokens.json says all of it, and what is wrong in one is named", () => {
  const { special } = withAdded(
    { "<a>": { special: true, lstrip: true }, word: {}, "<b>": { normalized: false, single_word: true } },
    { bos: 400, eos: [399, 401], begin: [400], add_prefix_space: true },
  );
  assert.deepEqual(parseSpecialTokens(specialTokensJson(special), "here"), special);
  for (const [json, wrong] of [
    ["[]", /it holds no tokens/],
    ['{"begin": 3}', /begin is not a list of ids, but 3/],
    ['{"added": {"<a>": {"id": 3, "special": "yes"}}}', /"<a>" has special = "yes"/],
    ['{"added": {"<a>": {"id": 3, "tall": true}}}', /"<a>" has tall = true/],
    ['{"added": {"<a>": -1}}', /no text or no id/],
  ] as const) {
    assert.throws(() => parseSpecialTokens(json, "here"), { name: "UserError", message: wrong });
  }
});

/** What is shown of tokens, each a text or, as a number, a mark; and whether a stop text ended it. */
function shown(stops: readonly string[], tokens: readonly (string | number)[]): [string, boolean] {
  const marks = new Map([
    [1, "<one>"],
    [2, "<two>"],
  ]);
  const text = new ShownText(stops, marks);
  let all = "";
  for (const token of tokens) {
    const id = typeof token === "number" ? token : 9;
    const next = text.push(id, () => token as string);
    all += next.text;
    if (next.stopped) return [all, true];
  }
  return [all + text.end(), false];
}

test("marks are not shown; stop texts find them, and never show a part of themselves", () => {
  const cases: [string[], (string | number)[], string, boolean][] = [
    [[], ["a", 1, "b"], "ab", false],
    [["<one>"], ["a", 2, "b", 1, "c"], "ab", true],
    [["<one>"], ["a<o", "ne>b"], "a", true], // spelled
    [["\n<two>"], ["a\n", 1, "b\n", 2, "c"], "a\nb", true],
    [["\n<two>"], ["a\n", "b"], "a\nb", false],
    [["ab"], ["xa", 1, "b"], "x", true],
    [["<one>", "ab"], ["xa", 2, "b"], "x", true],
    [["<one><two>"], ["a", 1, "b", 1, 2], "ab", true],
    [["<one>x"], ["a", 1, "y\ud83d\ude00"], "ay\ud83d\ude00", false],
  ];
  for (const [stops, tokens, wanted, stopped] of cases) {
    assert.deepEqual(shown(stops, tokens), [wanted, stopped], JSON.stringify([stops, tokens]));
  }
});
