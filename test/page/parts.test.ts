/** What the page computes, without a browser. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { faultOf, shorter } from "../../src/page/completions.js";
import {
  Continuation,
  commonStart,
  type Draft,
  EMPTY,
  edited,
  tokenAt,
  withAlternative,
} from "../../src/page/draft.js";
import { EventReader } from "../../src/page/events.js";
import { History } from "../../src/page/history.js";
import { fromFragment, toFragment } from "../../src/page/link.js";
import { type Logprobs, openBytes, type Piece, PieceReader, tokenBytes } from "../../src/page/pieces.js";
import { INITIAL, readSettings, SEED, seedAfter, unescaped } from "../../src/page/settings.js";
import { FIRST, keep, restore, type Step } from "../../src/page/step.js";

/** A token of probability 1/2 without alternatives. */
const piece = (text: string): Piece => ({ text, logprob: Math.log(0.5), alternatives: [] });

/** A draft: what was written, then what the model added. */
function draftOf(written: string, ...pieces: string[]): Draft {
  const continuation = new Continuation({ ...EMPTY, text: written });
  continuation.push(pieces.join(""), pieces.map(piece));
  return continuation.draft;
}

/** What the API says of tokens that all have probability 1/2. */
const logprobsOf = (...tokens: string[]): Logprobs => ({
  tokens,
  token_logprobs: tokens.map(() => Math.log(0.5)),
  top_logprobs: tokens.map((token) => ({ [token]: Math.log(0.5), " else": Math.log(0.25) })),
});

const textsOf = ({ tokens }: Draft): string[] => tokens.map(({ text }) => text);

describe("server-sent events", () => {
  const stream =
    'data: {"a":1}\n\ndata: two\r\ndata: lines\r\n\r\n: a comment\n\nevent: x\rdata:[DONE]\r\r\n';
  const wanted = ['{"a":1}', "two\nlines", "[DONE]"];
  test("the same events however the stream is cut", () => {
    for (let size = 1; size <= stream.length; size++) {
      const reader = new EventReader();
      const events: string[] = [];
      for (let at = 0; at < stream.length; at += size)
        events.push(...reader.push(stream.slice(at, at + size)));
      assert.deepEqual(events, wanted, `in pieces of ${size}`);
    }
  });
  test("an event that is not whole is none", () => {
    assert.deepEqual(new EventReader().push("data: 1\n\ndata: 2\n"), ["1"]);
  });
});

describe("tokens become pieces that one can read", () => {
  test("a token's bytes, written out or not", () => {
    assert.deepEqual([...tokenBytes("é")], [0xc3, 0xa9]);
    assert.deepEqual([...tokenBytes("bytes:\\xe2\\x80")], [0xe2, 0x80]);
    assert.deepEqual([...tokenBytes("bytes: \\xF0")], [0x20, 0xf0]);
  });
  test("how much of a character is missing: every cut of every length", () => {
    for (const text of ["a", "é", "“", "🙂"]) {
      const bytes = new TextEncoder().encode(text);
      for (let length = 1; length < bytes.length; length++) {
        assert.equal(openBytes(bytes.slice(0, length)), length, `${length} of ${text}`);
      }
      assert.equal(openBytes(bytes), 0, text);
    }
    assert.equal(openBytes(Uint8Array.of(0x61, 0x80)), 0); // not UTF-8 at all: nothing to wait for
  });
  test("the parts of a character are one piece, with the probability of all of them", () => {
    const reader = new PieceReader();
    assert.deepEqual(reader.push(logprobsOf("bytes:\\xf0\\x9f")), []);
    const pieces = reader.push(logprobsOf("bytes:\\x99", "bytes:\\x82", " fine"));
    assert.deepEqual(
      pieces.map(({ text, logprob }) => [text, logprob]),
      [
        ["🙂", 3 * Math.log(0.5)],
        [" fine", Math.log(0.5)],
      ],
    );
    assert.deepEqual(
      pieces[0].alternatives.map(({ text, isText }) => [text, isText]),
      [
        ["bytes:\\xf0\\x9f", false],
        [" else", true],
      ],
    );
    assert.deepEqual(reader.end(), []);
  });
  test("a character that is never finished is one piece in the end", () => {
    const reader = new PieceReader();
    assert.deepEqual(reader.push(logprobsOf("bytes:\\xe2")), []);
    assert.deepEqual(
      reader.end().map(({ text }) => text),
      ["\ufffd"],
    );
  });
});

describe("drafts", () => {
  test("pieces lie where their text is, whichever comes first", () => {
    const continuation = new Continuation({ text: "One", tokens: [] });
    continuation.push("", [piece(" two")]);
    assert.deepEqual(continuation.draft, { text: "One", tokens: [] });
    continuation.push(" two th", [piece(" three")]);
    continuation.push("ree", []);
    assert.equal(continuation.draft.text, "One two three");
    assert.deepEqual(
      continuation.draft.tokens.map(({ text, start }) => [text, start]),
      [
        [" two", 3],
        [" three", 7],
      ],
    );
  });
  test("tokens that are no part of the text are left out, and those behind them are found", () => {
    const continuation = new Continuation(EMPTY);
    continuation.push("a b", [piece("a"), piece("<|x|>"), piece(" b"), piece(" stop")]);
    assert.deepEqual(textsOf(continuation.draft), ["a", " b"]);
  });
  test("an end of a line is one character, as in a text field", () => {
    const continuation = new Continuation(EMPTY);
    const reader = new PieceReader();
    continuation.push("a\r\nb\rc", reader.push(logprobsOf("a", "\r\n", "b", "\r", "c")));
    assert.equal(continuation.draft.text, "a\nb\nc");
    assert.deepEqual(textsOf(continuation.draft), ["a", "\n", "b", "\n", "c"]);
  });
  test("a change takes the colours of what it touches and of what follows, and no text", () => {
    const draft = draftOf("One", " two", " three", " four");
    assert.deepEqual(textsOf(edited(draft, "One two three four!")), [" two", " three", " four"]);
    assert.deepEqual(textsOf(edited(draft, "One two thre four")), [" two"]);
    assert.deepEqual(textsOf(edited(draft, "One two, three four")), [" two"]);
    assert.deepEqual(textsOf(edited(draft, "one two three four")), []);
    assert.equal(edited(draft, draft.text), draft);
    assert.equal(edited(draft, "One two").text, "One two");
  });
  test("an alternative cuts the text before its token", () => {
    const draft = draftOf("One", " two", " three", " four");
    const other = withAlternative(draft, 1, { text: " dogs", logprob: -3, isText: true });
    assert.equal(other.text, "One two dogs");
    assert.deepEqual(textsOf(other), [" two", " dogs"]);
    assert.equal(other.tokens[1].logprob, -3);
  });
  test("the token at a cursor", () => {
    const draft = draftOf("One", " two", " three");
    const places = [0, 3, 6, 7, 12, 13].map((offset) => tokenAt(draft, offset));
    assert.deepEqual(places, [-1, 0, 0, 1, 1, 1]);
    assert.equal(tokenAt(EMPTY, 0), -1);
  });
  test("what two texts have in common", () => {
    assert.equal(commonStart("abcd", "abxd"), 2);
    assert.equal(commonStart("ab", "abc"), 2);
    assert.equal(commonStart("", "abc"), 0);
  });
});

describe("history", () => {
  test("undo and redo go through every step; typing is one while it goes on", () => {
    const history = new History("");
    history.type("a", 0);
    history.type("ab", 900);
    history.type("abc", 1800);
    history.type("abcd", 9000);
    history.push("generated");
    const seen: string[] = [];
    while (history.canUndo) {
      seen.push(history.present);
      history.undo();
    }
    assert.deepEqual(seen, ["generated", "abcd", "abc"]);
    while (history.canRedo) history.redo();
    assert.equal(history.present, "generated");
  });
  test("typing right after an undo is a step of its own", () => {
    const history = new History("");
    history.type("a", 0);
    history.undo();
    history.type("b", 10);
    assert.ok(history.canUndo && !history.canRedo);
    history.undo();
    assert.equal(history.present, "");
  });
  test("a step that came to nothing is dropped", () => {
    const history = new History("text");
    history.push("nothing");
    history.drop();
    assert.deepEqual([history.present, history.canUndo, history.canRedo], ["text", false, false]);
  });
});

describe("links", () => {
  test("a prompt and every setting come back as they were", () => {
    const settings = { ...INITIAL, seed: 2 ** 53 - 1, temperature: 0.35, top_k: 7, stop: "\\n & = # % +" };
    const linked = { prompt: "Once “upon” a time\n & = # % + 🙂 ", settings, model: "stories" };
    assert.deepEqual(fromFragment(toFragment(linked)), linked);
  });
  test("what cannot be set is as it was at first; other fragments are no links", () => {
    const linked = fromFragment("#prompt=x&temperature=-1&top_k=a&seed=1.5&top_p=&max_tokens=5");
    assert.deepEqual(linked, { prompt: "x", settings: { ...INITIAL, max_tokens: 5 }, model: "" });
    assert.equal(fromFragment("#text"), undefined);
    assert.equal(fromFragment(""), undefined);
  });
});

describe("settings", () => {
  test("whatever was kept, each is one that can be set", () => {
    assert.deepEqual(readSettings({}), INITIAL);
    assert.deepEqual(readSettings({ seed: "1", top_p: 0, stop: 3, temperature: Number.NaN }), INITIAL);
    assert.equal(readSettings({ top_p: 0.5 }).top_p, 0.5);
  });
  test("after the greatest seed comes 0", () => {
    assert.equal(seedAfter(1, 3), 4);
    assert.equal(seedAfter(SEED.max - 1, 1), SEED.max);
    assert.deepEqual(
      [1, 2, 4].map((by) => seedAfter(SEED.max, by)),
      [0, 1, 3],
    );
    assert.equal(seedAfter(SEED.max, 0), SEED.max);
  });
  test("a stop text of one line can mean several", () => {
    assert.equal(unescaped("a\\nb\\\\n\\x"), "a\nb\\n\\x");
  });
});

describe("what is kept", () => {
  const step: Step = { draft: draftOf("One", " two") };
  const kept = { step, past: [FIRST], settings: INITIAL, candidates: 2, showsMarks: false };
  test("comes back as it was", () => {
    assert.deepEqual(restore(keep(kept)), kept);
  });
  test("holds the text whatever there is room for", () => {
    const long = { draft: { text: "x".repeat(900_000), tokens: [] } };
    const back = restore(keep({ ...kept, step: long, past: Array.from({ length: 20 }, () => long) }));
    assert.equal(back?.step.draft.text.length, 900_000);
    assert.equal(back?.past.length, 1);
  });
  test("damage is nothing", () => {
    for (const text of [null, "", "{", "{}", '{"step":{"draft":{"text":1,"tokens":[]}}}']) {
      assert.equal(restore(text), undefined, String(text));
    }
    const misplaced = keep(kept).replace('"start":3', '"start":2');
    assert.equal(restore(misplaced), undefined);
  });
});

test("a text that is too long loses its beginning, and no word its half", () => {
  assert.equal(shorter("aaaa bbbb cccc dddd"), " cccc dddd");
  assert.equal(shorter("a".repeat(100)), "a".repeat(75));
  assert.equal(shorter("🙂".repeat(3)), "🙂🙂");
  for (let text = "word ".repeat(100); text.length > 16; text = shorter(text)) assert.match(text, /^ ?word/);
});

test("failures are one line each that says what to do", () => {
  assert.equal(faultOf(401, null, {}).kind, "key");
  assert.match(faultOf(429, "1", {}).message, /in 1 second\.$/);
  assert.match(faultOf(429, "12", {}).message, /in 12 seconds\.$/);
  assert.match(faultOf(429, null, {}).message, /in a moment\.$/);
  assert.equal(faultOf(400, null, { message: "top_k must be less" }).message, "Top_k must be less.");
  assert.equal(faultOf(400, null, { message: "too long", code: "context_length_exceeded" }).kind, "too-long");
  assert.match(faultOf(503, null, {}).message, /Try again/);
  assert.match(faultOf(500, null, {}).message, /error 500/);
});
