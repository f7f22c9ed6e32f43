import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Encoder } from "../../../dist/src/encoder/encoder.js";
import { trainVocabulary } from "../../../dist/src/encoder/train.js";
import { type Corpus, loadDataset } from "../../../dist/src/finetune/dataset/corpus.js";
import { readParts } from "../../../dist/src/finetune/dataset/documents.js";
import { readText } from "../../../dist/src/finetune/dataset/text.js";
import { UserError } from "../../../dist/src/system/errors.js";
import {
  bytes,
  CHUNK,
  decodeAll,
  END,
  endless,
  fails,
  folder,
  gpt2,
  textOf,
  write,
} from "../../support/datasets.js";

/** What the reader of files makes of bytes. */
async function read(data: string | Uint8Array): Promise<{ text: string; notices: string[] }> {
  const notices: string[] = [];
  let text = "";
  for await (const chunk of readText(write("read.txt", data), (notice) => notices.push(notice)))
    text += chunk;
  return { text, notices };
}

describe("text files", () => {
  test("a text is one document with the end-of-text id behind it", async () => {
    const corpus = await loadDataset(write("one.txt", "Hello, world"), gpt2);
    assert.deepEqual([...corpus.tokens], [15496, 11, 995, 50256]);
    assert.ok(corpus.tokens instanceof Uint16Array);
    assert.deepEqual([corpus.documents, corpus.characters, corpus.bytes], [1, 12, 12]);
    assert.deepEqual([corpus.validation.length, corpus.notices.length], [0, 0]);
  });

  test("an end of text in the text ends a document, wherever it stands", async () => {
    const cases: [string, string, number][] = [
      [`one${END}two`, `one${END}two${END}`, 2],
      [`one${END}`, `one${END}`, 1],
      [`one${END}\n`, `one${END}`, 1], // an editor's newline is no document
      [`${END}one${END}${END}\n\n${END}two\n${END}\n`, `one${END}two\n${END}`, 2],
      [`<|end <|endoftext| ${END}>`, `<|end <|endoftext| ${END}>${END}`, 2],
      ["<|endoftext|", `<|endoftext|${END}`, 1],
    ];
    for (const [text, expected, documents] of cases) {
      const corpus = await loadDataset(write("ends.txt", text), gpt2);
      assert.equal(decodeAll(corpus), expected);
      const ids = [...corpus.tokens].filter((id) => id === 50256).length;
      assert.deepEqual([corpus.documents, ids], [documents, documents], text);
    }
  });

  test("an end of text that lies across two chunks of the file", async () => {
    for (let before = 0; before <= END.length; before++) {
      const head = "ab ".repeat(CHUNK).slice(0, CHUNK - before);
      const documents = [""];
      for await (const parts of readParts(write("across.txt", `${head}${END}tail`), true)) {
        for (const { text, isLast } of parts) {
          documents[documents.length - 1] += text;
          if (isLast) documents.push("");
        }
      }
      assert.deepEqual(documents, [head, "tail", ""]);
    }
  });

  test("a vocabulary without end of text: documents are joined, with a notice", async () => {
    const files = [write("join/a.txt", "one"), write("join/b.txt", `two${END}three`)];
    const corpus = await loadDataset(files, endless);
    assert.equal(endless.decode(corpus.tokens), `onetwo${END}three`);
    assert.equal(corpus.documents, 2);
    assert.match(corpus.notices.join(), /has no <\|endoftext\|>: 2 documents are joined/);
    assert.deepEqual((await loadDataset(files[0]!, endless)).notices, []);
  });

  test("a vocabulary of more than 65,536 tokens takes four bytes an id", async () => {
    const base = JSON.parse((await trainVocabulary([], 257)).encoderJson) as Record<string, number>;
    for (let id = 257; id < 65_537; id++) base[`<extra ${id}>`.replace(" ", "")] = id;
    const large = Encoder.fromFiles(JSON.stringify(base), "#version: 0.2\n", "");
    const { tokens } = await loadDataset(write("wide.txt", "ab"), large);
    assert.ok(tokens instanceof Uint32Array);
    assert.equal(large.decode(tokens), `ab${END}`);
  });

  test("encodings: UTF-8 and UTF-16 with byte order marks; newlines of all systems", async () => {
    const text = "Grüße\n你好 😀\n";
    const windows = text.replaceAll("\n", "\r\n");
    const little = Buffer.from(`\ufeff${windows}`, "utf16le");
    const big = Buffer.from(little).swap16();
    for (const data of [text, `\ufeff${text}`, windows, text.replaceAll("\n", "\r"), little, big]) {
      const corpus = await loadDataset(write("encoded.txt", data), gpt2);
      assert.equal(decodeAll(corpus), text + END);
      assert.equal(corpus.characters, 11);
      assert.deepEqual(corpus.notices, []);
    }
  });

  test("characters and newlines that lie across two chunks of the file", async () => {
    for (const [odd, as] of [
      ["😀", "😀"],
      ["\r\n", "\n"],
      ["\r", "\n"],
      ["é", "é"],
    ] as const) {
      for (let before = 0; before <= 4; before++) {
        const head = "x".repeat(CHUNK - before);
        assert.deepEqual(await read(`${head}${odd}y`), { text: `${head}${as}y`, notices: [] });
        const head16 = "x".repeat(CHUNK / 2 - 1 - before);
        const utf16 = Buffer.from(`\ufeff${head16}${odd}y`, "utf16le");
        assert.deepEqual(await read(utf16), { text: `${head16}${as}y`, notices: [] });
      }
    }
  });

  test("invalid UTF-8 becomes U+FFFD, with a notice that counts it", async () => {
    const latin1 = Buffer.from("caf\xe9 cr\xe8me \xff.", "latin1");
    const corpus = await loadDataset(write("latin1.txt", latin1), gpt2);
    assert.equal(decodeAll(corpus), `caf\ufffd cr\ufffdme \ufffd.${END}`);
    assert.match(corpus.notices.join(), /latin1\.txt is not all valid UTF-8: 3 places became U\+FFFD/);
    // U+FFFD that stands in the file is no fault, not even across two chunks.
    for (let before = 0; before <= 3; before++) {
      const head = Buffer.from(`${"x".repeat(CHUNK - before)}\ufffd`);
      assert.deepEqual((await read(head)).notices, []);
      assert.match((await read(Buffer.concat([head, Buffer.of(0xff)]))).notices.join(), /: 1 place became/);
    }
    const lone = Buffer.from("\ufeffa\ud800b\ufffd", "utf16le");
    assert.match(
      (await loadDataset(write("u16.txt", lone), gpt2)).notices.join(),
      /UTF-16LE: 1 place became/,
    );
  });

  test("tiny datasets: one line, two tokens, one token, none", async () => {
    assert.equal(await textOf(write("line.txt", "a")), `a${END}`);
    const one = write("a.txt", "a");
    await assert.rejects(loadDataset(one, endless), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /a\.txt holds 1 token: training takes two at least/);
      return true;
    });
    await fails(write("empty.txt", ""), /there is no text in .*empty\.txt/);
    await fails(write("bom.txt", "\ufeff"), /there is no text in .*bom\.txt/);
    await fails(write("blank.txt", " \n\n\t"), /there is no text in .*blank\.txt/);
    await fails(write("marks.txt", `${END}\n${END}`), /there is no text in .*marks\.txt/);
  });

  test("what is no text, or cannot be read, is named", async () => {
    await fails(join(folder, "nowhere.txt"), /cannot read .*nowhere\.txt: no such file or folder/);
    await fails([write("ok.txt", "ok"), join(folder, "gone.txt")], /gone\.txt: no such file/);
    await fails(write("image.png", Buffer.of(0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 13)), /image\.png .*not text/);
    const late = Buffer.alloc(CHUNK + 10, "text ");
    late[CHUNK + 5] = 0;
    await fails(write("late.txt", late), /late\.txt holds the character NUL/);
    await fails(write("u32.txt", Buffer.from("fffe000061000000", "hex")), /u32\.txt holds the character NUL/);
  });

  test("a file that may not be read", {
    skip: process.platform === "win32" || process.getuid?.() === 0,
  }, async () => {
    const path = write("locked.txt", "text");
    chmodSync(path, 0);
    await fails(path, /cannot read .*locked\.txt: permission denied/);
  });

  test("a pipe is no dataset: it could be read only once", {
    skip: process.platform === "win32",
  }, async () => {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    await fails(path, /pipe is neither a file nor a folder: save the text to a file/);
  });

  test("an abort ends the reading", async () => {
    const path = write("long.txt", "some words ".repeat(100_000));
    const controller = new AbortController();
    const seen: number[] = [];
    const onProgress = (read: number, total: number): void => {
      seen.push(read);
      assert.equal(total, 1_100_000);
      if (seen.length === 2) controller.abort();
    };
    await assert.rejects(loadDataset(path, bytes, { signal: controller.signal, onProgress }), {
      name: "AbortError",
    });
    assert.deepEqual(seen, [CHUNK, 2 * CHUNK]);
  });
});

describe("held out", () => {
  const load = (name: string, text: string, validation: number): Promise<Corpus> =>
    loadDataset(write(name, text), bytes, { validation });

  test("one document: its last tokens", async () => {
    const { tokens, validation } = await load("v.txt", "x".repeat(999), 0.05); // 1000 tokens
    assert.deepEqual([tokens.length, validation.length], [950, 50]);
  });

  test("many documents: whole ones, as near to the fraction as can be", async () => {
    const text = Array.from({ length: 100 }, (_, i) => "y".repeat(5 + (i % 7))).join(END);
    const { tokens, validation, documents } = await load("d.txt", text, 0.1);
    assert.equal(documents, 100);
    assert.equal(tokens.at(-1), 256);
    assert.equal(validation.at(-1), 256);
    const fraction = validation.length / (tokens.length + validation.length);
    assert.ok(Math.abs(fraction - 0.1) < 0.01, String(fraction));
  });

  test("documents that do not fit: within one", async () => {
    const { tokens, validation } = await load("w.txt", ["a".repeat(50), "b".repeat(948)].join(END), 0.1);
    assert.deepEqual([tokens.length, validation.length], [900, 100]);
    const short = await load("s.txt", ["a".repeat(985), "b".repeat(13)].join(END), 0.1);
    assert.equal(short.validation.length, 100, "the last document alone would be far too little");
  });

  test("too few tokens: nothing, with a notice", async () => {
    const { tokens, validation, notices } = await load("few.txt", "ab", 0.05);
    assert.deepEqual([tokens.length, validation.length], [3, 0]);
    assert.match(notices.join(), /3 tokens are too few to hold 5 % out/);
    assert.equal((await load("few.txt", "ab", 0.6)).tokens.length, 3, "one token is none to train on");
    for (const wrong of [-0.1, 1, Number.NaN]) await assert.rejects(load("few.txt", "ab", wrong), RangeError);
  });
});
