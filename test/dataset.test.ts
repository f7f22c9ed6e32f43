import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { trainVocabulary } from "../dist/src/encoder/train.js";
import { Encoder, loadEncoder, openAiVocabulary } from "../dist/src/encoder.js";
import { UsageError, UserError } from "../dist/src/errors.js";
import { type Corpus, type DatasetOptions, loadDataset } from "../dist/src/finetune/dataset.js";
import { DocumentCutter, documentTexts, readParts } from "../dist/src/finetune/documents.js";
import { readText } from "../dist/src/finetune/text.js";
import { batchAt, fitContext, validationWindows } from "../dist/src/finetune/windows.js";
import { inProject } from "./support/models.js";

const END = "<|endoftext|>";
const START = "<|startoftext|>";
/** readText() reads so many bytes at a time. */
const CHUNK = 1 << 18;

const folder = mkdtempSync(join(tmpdir(), "gpt2-dataset-"));
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

let gpt2: Encoder;
/** 257 tokens without a merge, and the same without an end of text. */
let bytes: Encoder;
let endless: Encoder;
before(async () => {
  gpt2 = await loadEncoder(openAiVocabulary());
  const { encoderJson, vocabBpe } = await trainVocabulary([], 257);
  bytes = Encoder.fromFiles(encoderJson, vocabBpe, "");
  endless = Encoder.fromFiles(encoderJson.replace(`, "${END}": 256`, ""), vocabBpe, "");
});

/** Writes a file, its folders too. */
function write(name: string, data: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, data);
  return path;
}

/** All of a dataset as text again: an end-of-text id becomes `<|endoftext|>`. */
async function textOf(dataset: string | readonly string[], options?: DatasetOptions): Promise<string> {
  return decodeAll(await loadDataset(dataset, gpt2, options));
}

/** What the reader of files makes of bytes. */
async function read(data: string | Uint8Array): Promise<{ text: string; notices: string[] }> {
  const notices: string[] = [];
  let text = "";
  for await (const chunk of readText(write("read.txt", data), (notice) => notices.push(notice)))
    text += chunk;
  return { text, notices };
}

function decodeAll({ tokens, validation }: Corpus): string {
  return gpt2.decode([...tokens, ...validation]);
}

/** It fails with one line that a user can act on. */
async function fails(
  dataset: string | readonly string[],
  pattern: RegExp,
  options: DatasetOptions = {},
): Promise<Error> {
  let failure: Error | undefined;
  await assert.rejects(loadDataset(dataset, gpt2, options), (error: Error) => {
    failure = error;
    assert.ok(error instanceof UserError, String(error.stack));
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n|undefined|\[object/);
    return true;
  });
  return failure!;
}

/** Whole numbers below n, the same in every run. */
function numbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
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
    await fails(write("image.png", Buffer.of(0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 13)), /image\.png .*no text/);
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

describe("folders and patterns", () => {
  before(() => {
    for (const name of ["b.txt", "a.md", "c/d.txt", "c/a.txt", "B.txt"]) write(`books/${name}`, name);
    write("books/.git/config", "hidden");
    write("books/c/.DS_Store", "hidden");
    write("books/cover.jpg", Buffer.of(0xff, 0xd8, 0, 1));
    write("books/empty.txt", "");
  });

  test("a folder: its files in order, those of its folders too; hidden and binary ones left out", async () => {
    const corpus = await loadDataset(join(folder, "books"), gpt2);
    const names = ["B.txt", "a.md", "b.txt", "c/a.txt", "c/d.txt"];
    assert.equal(decodeAll(corpus), names.map((name) => name + END).join(""));
    assert.equal(corpus.documents, 5);
    assert.equal(corpus.notices.length, 2);
    assert.match(corpus.notices[0]!, /hidden: .*books.\.git, .*c.\.DS_Store$/);
    assert.match(corpus.notices[1]!, /no text: .*cover\.jpg$/);
  });

  test("a pattern that the shell did not expand", async () => {
    assert.equal(await textOf(join(folder, "books/*.txt")), `B.txt${END}b.txt${END}`);
    assert.equal(
      await textOf(join(folder, "books/**/*.txt")),
      ["B.txt", "b.txt", "c/a.txt", "c/d.txt"].map((name) => name + END).join(""),
    );
    assert.equal(
      await textOf(relative(process.cwd(), join(folder, "books/{a,b}.*"))),
      `a.md${END}b.txt${END}`,
    );
    // Folders count, each file once.
    assert.equal(await textOf(join(folder, "books/{c,c/*}")), `c/a.txt${END}c/d.txt${END}`);
    await fails(join(folder, "books/*.doc"), /no file matches .*\*\.doc: check the pattern/);
  });

  test("several, as where the shell did expand it; a name that looks like a pattern", async () => {
    const paths = ["books/c", "books/a.md"].map((name) => join(folder, name));
    assert.equal(await textOf(paths), `c/a.txt${END}c/d.txt${END}a.md${END}`);
    assert.equal(await textOf(write("draft [1]*.txt", "draft")), `draft${END}`);
    await fails([], /there is no text in/);
  });

  test("~ and $VAR", async () => {
    process.env["GPT2_TEST_BOOKS"] = join(folder, "books");
    try {
      assert.equal(await textOf("$GPT2_TEST_BOOKS/b.txt"), `b.txt${END}`);
      await fails("~/no such file", new RegExp(`cannot read ${homedir().replaceAll("\\", "\\\\")}`));
    } finally {
      delete process.env["GPT2_TEST_BOOKS"];
    }
  });

  test("a folder without texts", async () => {
    mkdirSync(join(folder, "bare/.hidden"), { recursive: true });
    await fails(join(folder, "bare"), /the folder .*bare holds no file to train on/);
    write("images/a.png", Buffer.alloc(8));
    await fails(join(folder, "images"), /there is no text in .*images/);
  });

  test("links: to a folder, in a circle, to nothing", { skip: process.platform === "win32" }, async () => {
    write("linked/a.txt", "a");
    write("elsewhere/b.txt", "b");
    symlinkSync(join(folder, "elsewhere"), join(folder, "linked/more"));
    symlinkSync(join(folder, "linked"), join(folder, "linked/again"));
    symlinkSync(join(folder, "nothing"), join(folder, "linked/gone.txt"));
    assert.equal(await textOf(join(folder, "linked")), `a${END}b${END}`);
  });
});

describe("tables", () => {
  const rows = (...texts: string[]): string => texts.map((text) => START + text + END).join("");

  test("each row of the first column is a document; the first line is no row", async () => {
    const corpus = await loadDataset(write("t.csv", "title,votes\nfirst,1\nsecond,2\n"), gpt2);
    assert.equal(decodeAll(corpus), rows("first", "second"));
    assert.deepEqual([corpus.documents, corpus.notices.length], [2, 0]);
    // START is ordinary text: as if it had been typed.
    assert.deepEqual([...corpus.tokens].slice(0, 9), [...gpt2.encode(`${START}first`), 50256]);
  });

  test("quotes, newlines in a text, byte order mark, newlines of all systems, last line without one", async () => {
    const table = '\ufefftitle,votes\n"one, two",1\n"a ""quoted"" line\nand another\n",2\nsaid "so" he,3';
    for (const newline of ["\n", "\r\n", "\r"]) {
      const path = write("q.csv", table.replaceAll("\n", newline));
      assert.equal(await textOf(path), rows("one, two", 'a "quoted" line\nand another\n', 'said "so" he'));
    }
    assert.equal(
      await textOf(write("u.csv", Buffer.from(table, "utf16le"))),
      await textOf(write("q.csv", table)),
    );
  });

  test("a column by name, by number; tabs", async () => {
    const csv = write("c.csv", "id, text ,2\n1,one,zwei\n2,two,drei\n");
    assert.equal(await textOf(csv, { column: "text" }), rows("one", "two"));
    assert.equal(await textOf(csv, { column: "1" }), rows("1", "2"));
    assert.equal(await textOf(csv, { column: "2" }), rows("zwei", "drei")); // a name comes first
    const tsv = write("c.TSV", 'id\ttext\n1\tone, two\n2\t"tab\there"\n');
    assert.equal(await textOf(tsv, { column: "text" }), rows("one, two", "tab\there"));
  });

  test("ragged and empty rows", async () => {
    const corpus = await loadDataset(
      write("r.csv", "id,text\n1,one\n2\n\n3,  \n4,four,more,most\n5,\n"),
      gpt2,
      {
        column: "text",
      },
    );
    assert.equal(decodeAll(corpus), rows("one", "four"));
    assert.match(
      corpus.notices.join("; "),
      /r\.csv: 4 empty rows left out; .*r\.csv: 1 row with more columns/,
    );
  });

  test("marks that the rows have already are not doubled", async () => {
    const path = write("m.csv", `text\n${START}one${END}\ntwo${END}three\n`);
    assert.equal(await textOf(path), `${START}one${END}${START}two${END}three${END}`);
  });

  test("a table in a folder, beside a text", async () => {
    write("mixed/a.txt", "text");
    write("mixed/b.csv", "title\nrow\n");
    assert.equal(await textOf(join(folder, "mixed")), `text${END}${rows("row")}`);
  });

  test("faults", async () => {
    const csv = write("f.csv", "title,votes\na,1\n");
    const unknown = await fails(csv, /no column "titel": its columns are 1 "title", 2 "votes"/, {
      column: "titel",
    });
    assert.ok(unknown instanceof UsageError);
    await fails(csv, /no column "3"/, { column: "3" });
    await fails(csv, /no column "0"/, { column: "0" });
    await fails(write("f.txt", "text"), /--column is for \.csv and \.tsv files, and .*f\.txt is none/, {
      column: "1",
    });
    await fails(write("h.csv", "title\n"), /h\.csv has one line only/);
    await fails(write("e.csv", ""), /e\.csv is empty/);
    await fails(write("b.csv", "title\n\n \n"), /there is no text in .*b\.csv/);
    await fails(write("n.csv", "title\na\0b\n"), /n\.csv holds the character NUL/);
    const open = 'title\none\n"two\nlines"\n"three\nfour\nfive\n';
    await fails(
      write("o.csv", open),
      /o\.csv: in the row that begins on line 5 a quote is opened and never closed/,
    );
    await fails(
      write("l.csv", `title\none\n"${"x\n".repeat(1 << 23)}`),
      /l\.csv: in the row that begins on line 3 a quote/,
    );
  });

  test("many rows over many chunks", async () => {
    const texts = Array.from({ length: 30_000 }, (_, i) => `row ${i}`);
    const corpus = await loadDataset(
      write("many.csv", `n,text\n${texts.map((text) => `7,"${text}"\n`).join("")}`),
      bytes,
      {
        column: "text",
      },
    );
    assert.equal(corpus.documents, 30_000);
    assert.equal(bytes.decode(corpus.tokens), rows(...texts));
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
    for (const wrong of [-0.1, 1, Number.NaN]) await assert.rejects(load("few.txt", "ab", wrong), RangeError);
  });
});

describe("pieces", () => {
  test("a cut never changes the tokens", () => {
    const below = numbers(4);
    const parts = [
      "'s",
      "'",
      "'ll",
      "''",
      " ",
      "  ",
      "\n",
      "\n\n",
      "\t",
      "\u00a0",
      "\u3000",
      "word",
      "é",
      "日本語",
      "١٢",
      "12",
      "9",
      "!?",
      "...",
      "😀",
      "😀👍",
      "\ud83d",
      "e\u0301",
      "<|",
      "|>",
      "endoftext",
      END,
      START,
      "<",
      "<|endoftext",
      " a",
      "a ",
    ];
    let cuts = 0;
    for (let round = 0; round < 4000; round++) {
      const text = Array.from({ length: 1 + below(14) }, () => parts[below(parts.length)]!).join("");
      const cutter = new DocumentCutter(true);
      const pieces = [];
      for (let at = 0; at < text.length; ) {
        const next = at + 1 + below(8);
        pieces.push(...cutter.push(text.slice(at, next)));
        at = next;
      }
      pieces.push(...cutter.end());
      cuts += pieces.filter(({ isLast }) => !isLast).length;
      const ids = pieces.flatMap((piece) => [...gpt2.encode(piece.text), ...(piece.isLast ? [-1] : [])]);
      const whole = text.split(END).filter((document) => document.trim() !== "");
      assert.deepEqual(
        ids,
        whole.flatMap((document) => [...gpt2.encode(document), -1]),
        JSON.stringify(text),
      );
    }
    assert.ok(cuts > 4000, `only ${cuts} cuts`);
  });

  test("documentTexts: the same text without marks", async () => {
    const text = "The cat's 3 hats. ".repeat(30_000);
    const path = write("pieces.txt", `${text}${END}end`);
    const pieces: string[] = [];
    for await (const piece of documentTexts(path)) pieces.push(piece);
    assert.equal(pieces.join(""), `${text}end`);
    assert.ok(pieces.length > 2 && pieces.every(({ length }) => length <= 2 * CHUNK));
  });

  test("a run of some megabytes that cannot be cut", async () => {
    const { tokens } = await loadDataset(write("run.txt", `${"a".repeat(1e6)} ${"\n".repeat(4e5)}b`), bytes);
    assert.equal(tokens.length, 1.4e6 + 3);
  });

  test("a long text is never held whole", async () => {
    const words = " information development environment performance traditional significant";
    const megabytes = 24;
    const path = write("megabytes.txt", words.repeat(Math.ceil((megabytes << 20) / words.length)));
    const module = (name: string): string =>
      JSON.stringify(pathToFileURL(inProject(`dist/src/${name}`)).href);
    const script = `
      import { loadDataset } from ${module("finetune/dataset.js")};
      import { loadEncoder, openAiVocabulary } from ${module("encoder.js")};
      const encoder = await loadEncoder(openAiVocabulary());
      gc();
      const before = process.memoryUsage.rss();
      let most = 0;
      let calls = 0;
      const look = () => { if (calls++ % 8 > 0) return; gc(); most = Math.max(most, process.memoryUsage.rss() - before); };
      const { tokens } = await loadDataset(process.argv[1], encoder, { onProgress: look });
      calls = 0;
      look();
      console.log(JSON.stringify({ most, tokens: tokens.length }));`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--expose-gc", // or the figure would depend on when garbage is collected
      "--input-type=module",
      "-e",
      script,
      path,
    ]);
    const { most, tokens } = JSON.parse(stdout) as { most: number; tokens: number };
    assert.equal(tokens, 6 * Math.ceil((megabytes << 20) / words.length) + 1);
    // Measured: up to 16 MB, half of it tokens; 32 MiB read at once and encoded took 100.
    assert.ok(most < 24e6, `${(most / 1e6).toFixed(1)} MB more for ${megabytes} MiB of text`);
  });
});

describe("windows", () => {
  const tokens = Uint16Array.from({ length: 1000 }, (_, i) => i);
  const place = { seed: 1, step: 0, micro: 0, batch_size: 4, context_length: 16 };
  const starts = (changes: Partial<typeof place> = {}): number[] =>
    batchAt(tokens, { ...place, ...changes }).map((row) => row[0]!);

  test("rows of consecutive tokens, as many as wanted", () => {
    const rows = batchAt(tokens, place);
    assert.equal(rows.length, 4);
    for (const row of rows)
      assert.deepEqual(
        [...row],
        Array.from({ length: 17 }, (_, i) => row[0]! + i),
      );
  });

  test("a pure function of seed, step, micro and row", () => {
    assert.deepEqual(starts(), starts());
    const all = [{}, { seed: 2 }, { seed: 1 + 2 ** 32 }, { step: 1 }, { step: 2 ** 32 }, { micro: 1 }].map(
      (changes) => starts(changes).join(),
    );
    assert.equal(new Set(all).size, all.length);
    assert.equal(new Set(starts({ batch_size: 20 })).size > 15, true);
    assert.deepEqual(
      starts({ batch_size: 20 }).slice(0, 4),
      starts(),
      "a row does not depend on the batch's size",
    );
  });

  test("every place is as likely as any other, the first and the last too", () => {
    const n = 20; // places
    const few = tokens.subarray(0, 16 + n);
    const counts = new Array<number>(n).fill(0);
    const draws = 40_000;
    for (let step = 0; step < draws / 4; step++) {
      for (const row of batchAt(few, { ...place, step })) counts[row[0]!]!++;
    }
    const expected = draws / n;
    const chi2 = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 19 degrees of freedom: above 43.8 in one of a thousand
    assert.ok(chi2 < 43.8, `chi squared ${chi2}`);
  });

  test("the smallest dataset", () => {
    assert.deepEqual(
      [fitContext(2, 1024), fitContext(17, 16), fitContext(16, 16), fitContext(5000, 1024)],
      [1, 16, 15, 1024],
    );
    const rows = batchAt(tokens.subarray(0, 2), { ...place, context_length: 1 });
    assert.deepEqual(
      rows.map((row) => [...row]),
      Array(4).fill([0, 1]),
    );
    assert.throws(() => batchAt(tokens.subarray(0, 16), place), RangeError);
    assert.throws(() => batchAt(tokens, { ...place, context_length: 0 }), RangeError);
  });

  test("validation windows foretell every token once, where they fit", () => {
    const windows = validationWindows(tokens.subarray(0, 65), 16, 100);
    assert.deepEqual(
      windows.map((row) => [row[0], row.length]),
      [0, 16, 32, 48].map((start) => [start, 17]),
    );
    const uneven = validationWindows(tokens.subarray(0, 70), 16, 100);
    assert.deepEqual(
      uneven.map((row) => [row[0], row.length]),
      [0, 16, 32, 48, 53].map((start) => [start, 17]),
    );
    const foretold = new Set(uneven.flatMap((row) => [...row.subarray(1)]));
    assert.equal(foretold.size, 69);
  });

  test("no more validation windows than wanted, evenly spread; few tokens", () => {
    const spread = validationWindows(tokens, 16, 3);
    assert.deepEqual(
      spread.map((row) => [row[0], row.length]),
      [0, 491, 983].map((start) => [start, 17]),
    );
    assert.deepEqual(
      validationWindows(tokens, 16, 1).map((row) => row[0]),
      [0],
    );
    assert.deepEqual(
      validationWindows(tokens.subarray(0, 5), 16, 3).map((row) => [...row]),
      [[0, 1, 2, 3, 4]],
    );
    for (const n of [0, 1]) assert.deepEqual(validationWindows(tokens.subarray(0, n), 16, 3), []);
    assert.deepEqual(validationWindows(tokens, 16, 0), []);
  });
});
