import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, relative, sep } from "node:path";
import { before, describe, test } from "node:test";
import { loadDataset } from "../../../dist/src/finetune/dataset/corpus.js";
import { UsageError } from "../../../dist/src/system/errors.js";
import { bytes, decodeAll, END, fails, folder, gpt2, START, textOf, write } from "../../support/datasets.js";

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
    assert.match(corpus.notices[1]!, /not text: .*cover\.jpg$/);
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
    assert.equal(await textOf(join(folder, "books/[c]")), `c/a.txt${END}c/d.txt${END}`);
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

/** What the rows of a table with these texts are. */
const rows = (...texts: string[]): string => texts.map((text) => START + text + END).join("");

describe("tables", () => {
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

  test("several columns make one document, in the order they are named", async () => {
    const path = write("two.csv", "id,title,text\n1,One,uno\n2,,due\n3,Three,\n4,,\n");
    assert.equal(await textOf(path, { column: ["title", "text"] }), rows("One\nuno", "due", "Three"));
    assert.equal(await textOf(path, { column: ["3", "id"] }), rows("uno\n1", "due\n2", "3", "4"));
  });

  /** The texts of the column `text`, and the notices, which name the file. */
  const read = async (name: string, data: string): Promise<[string, string]> => {
    const corpus = await loadDataset(write(name, data), gpt2, { column: "text" });
    return [decodeAll(corpus), corpus.notices.map((line) => line.replace(folder + sep, "")).join("; ")];
  };
  const seen = (name: string, what: string): string => `${name} is read with ${what}, as its first rows show`;

  test("another delimiter is recognised and told", async () => {
    const semicolons = seen("d.csv", "semicolons between columns");
    for (const [data, notice] of [
      ['text;n\nHello, you;1\n"a; b";2\n', semicolons],
      [
        "text;n\nHello, you;1\nragged; a; row\nnone\nx;2\n",
        `${semicolons}; d.csv: 1 row with more columns than the first line names; a text that contains the delimiter needs quotes, or it is cut there`,
      ],
      ["id, or number;text\n1;Hello, you, there\n2;x\n", semicolons], // a comma in the first line too
      ["n\ttext\n1\tHello; you\n", seen("d.csv", "tabs between columns")],
      ["n|text\n1|Hello, you\n", seen("d.csv", "bars between columns")],
    ] as const) {
      const [text, notices] = await read("d.csv", data);
      assert.ok(text.includes(`${START}Hello`) && !/;1|\d\t|\d\|/.test(text), text);
      assert.equal(notices, notice);
    }
    assert.equal((await read("d.tsv", "n,text\n1,Hello\n"))[1], seen("d.tsv", "commas between columns"));
  });

  test("what only looks like another delimiter is not one", async () => {
    for (const data of [
      "text\none; two\n",
      "text,n\na;b,1\nc;d,2\n",
      "text; or not,n\na,1\nb\n",
      "text\none\ttwo\nthree | four\n",
    ]) {
      const corpus = await loadDataset(write("lone.csv", data), gpt2);
      assert.deepEqual(corpus.notices, []);
      assert.equal(corpus.documents, data.split("\n").length - 2);
    }
  });

  test('\\" for a quote and spaces before quotes are recognised and told', async () => {
    assert.deepEqual(
      await read("e.csv", 'id,text\n1,"He said \\"hi\\", twice"\n2,"two, \\"x\\""\n3,C:\\dir\n'),
      [rows('He said "hi", twice', 'two, "x"', "C:\\dir"), seen("e.csv", '\\" for a quote inside a text')],
    );
    assert.deepEqual(await read("s.csv", 'id, text\n1, "one, two"\n2, "a ""b"""\n'), [
      rows("one, two", 'a "b"'),
      seen("s.csv", "spaces before quotes"),
    ]);
    // Backslashes in a table that doubles its quotes, and quotes in texts without any, stay what they are.
    assert.deepEqual(await read("p.csv", 'id,text\n1,"C:\\"\n2,"a ""b"", \\""c"\n3,5" pipe\n'), [
      rows("C:\\", 'a "b", \\"c', '5" pipe'),
      "",
    ]);
  });

  test("an abort ends the reading of a table", async () => {
    const path = write("abort.csv", `title\n${"row of text\n".repeat(100_000)}`);
    const controller = new AbortController();
    const reading = loadDataset(path, gpt2, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await assert.rejects(reading, { name: "AbortError" });
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
    await fails(
      write("f.txt", "text"),
      /column is for \.csv, \.tsv, \.json and \.jsonl files, not .*f\.txt/,
      {
        column: "1",
      },
    );
    await fails(write("h.csv", "title\n"), /h\.csv has one line only/);
    await fails(write("e.csv", ""), /e\.csv is empty/);
    await fails(write("b.csv", "title\n\n \n"), /there is no text in .*b\.csv/);
    await fails(write("n.csv", "title\na\0b\n"), /n\.csv holds the character NUL/);
    const open = 'title\none\n"two\nlines"\n"three\nfour\nfive\n';
    await fails(
      write("o.csv", open),
      /o\.csv: the row that begins on line 5 has a quote that is opened and never closed/,
    );
    await fails(
      write("l.csv", `title\none\n"${"x\n".repeat((1 << 22) + 1)}"\n`),
      /l\.csv: the row that begins on line 3 is longer than 8 MiB; if a quote/,
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

describe("records in JSON", () => {
  const documents = (...texts: string[]): string => texts.map((text) => text + END).join("");

  test("a line each: the field text, other fields where they are named", async () => {
    const lines =
      '{"id": 1, "text": "one \\u00e9\\nline", "by": null}\n\n{"id":2,"text":"two","by":"me"}\n{"by":"you","text":" "}\n{"text":null,"by":""}\n"three"';
    for (const name of ["r.jsonl", "r.ndjson", "r.JSON"]) {
      const corpus = await loadDataset(write(name, lines), gpt2);
      assert.equal(decodeAll(corpus), documents("one é\nline", "two", "three"));
      assert.match(corpus.notices.join(), /^[^,]*: 2 records without text left out$/);
    }
    const path = write("r.jsonl", lines);
    assert.equal(await textOf(path, { column: "by" }), documents("me", "you", "three"));
    assert.equal(
      await textOf(path, { column: ["id", "text"] }),
      documents("1\none é\nline", "2\ntwo", "three"),
    );
  });

  test("byte order marks, UTF-16, newlines of all systems", async () => {
    const lines = '\ufeff{"text":"one"}\r\n{"text":"two"}\r\n';
    for (const data of [lines, Buffer.from(lines, "utf16le"), Buffer.from(lines, "utf16le").swap16()]) {
      assert.equal(await textOf(write("m.jsonl", data)), documents("one", "two"));
      assert.equal(await textOf(write("m.json", data)), documents("one", "two"));
    }
    const table = "\ufefftitle;n\r\none;1\r\ntwo;2\r\n";
    for (const data of [table, Buffer.from(table, "utf16le"), Buffer.from(table, "utf16le").swap16()]) {
      assert.equal(await textOf(write("m.csv", data), { column: "title" }), rows("one", "two"));
    }
  });

  test("an array of objects or of texts; one object", async () => {
    assert.equal(await textOf(write("a.json", '[{"text": "one"},\n "two"]\n')), documents("one", "two"));
    assert.equal(await textOf(write("o.json", '{\n "text": "one"\n}\n')), documents("one"));
  });

  test("half a pair of surrogates becomes U+FFFD", async () => {
    assert.equal(
      await textOf(write("h.jsonl", '{"text":"a\\ud83d \\ud83d\\ude00"}')),
      documents("a\ufffd 😀"),
    );
  });

  test("many records over many chunks, one of them longer than a chunk", async () => {
    const texts = Array.from({ length: 20_000 }, (_, i) => `record ${i}`).toSpliced(
      9,
      0,
      "long ".repeat(200_000),
    );
    const corpus = await loadDataset(
      write("many.jsonl", texts.map((text) => JSON.stringify({ text })).join("\n")),
      bytes,
    );
    assert.equal(corpus.documents, texts.length);
    assert.equal(bytes.decode(corpus.tokens), documents(...texts));
  });

  test("faults name the line, or what there is instead", async () => {
    await fails(
      write("f.jsonl", '{"id":1,"body":"x"}\n'),
      /f\.jsonl, line 1 has no field "text": its fields are "id", "body": name one with column/,
    );
    await fails(
      write("f.jsonl", '{"text":"x"}\n\n{"body":"y"}\n'),
      /f\.jsonl, line 3 has no field "text": its fields are "body": remove it, or give it a text/,
    );
    await fails(write("f.jsonl", '{"text":"x"}\n'), /no field "a", "b"/, { column: ["a", "b"] });
    await fails(write("f.jsonl", '{"text":"x"}\n{}\n'), /line 2 has no field "text": it is an empty object/);
    await fails(write("f.jsonl", '{"text":"x"}\n\n{"text":\n'), /f\.jsonl, line 3 is not JSON/);
    await fails(
      write("f.jsonl", '{"text":"x"}\n{"text":{}}\n'),
      /f\.jsonl, line 2: the field "text" is an object, not a text/,
    );
    await fails(write("f.json", "[1, 2"), /f\.json is not JSON/);
    await fails(
      write("f.json", "[1, 2]"),
      /f\.json, record 1 has no field "text": it is a number, not an object/,
    );
    await fails(write("f.jsonl", " \n"), /f\.jsonl is empty/);
  });

  test("files in a folder that hold no such records are left out and named", async () => {
    write("code/a.txt", "text");
    write("code/package.json", '{"name":"x"}');
    write("code/tsconfig.json", "{ // comment\n}");
    const corpus = await loadDataset(join(folder, "code"), gpt2);
    assert.equal(decodeAll(corpus), documents("text"));
    assert.match(
      corpus.notices.join("; "),
      /no field "text": \S*package\.json; .*not JSON: \S*tsconfig\.json$/,
    );
  });
});

describe("names that are not UTF-8", { skip: process.platform !== "linux" }, () => {
  test("are found in a folder, by a pattern, and as a shell hands them on", async () => {
    write("old/a.txt", "a");
    for (const [byte, text] of [
      [0xe8, "b"],
      [0xe9, "c"],
    ] as const) {
      writeFileSync(
        Buffer.concat([Buffer.from(join(folder, "old/caf")), Buffer.of(byte), Buffer.from(".txt")]),
        text,
      );
    }
    const both = `b${END}c${END}`;
    const mangled = join(folder, "old/caf\ufffd.txt");
    assert.equal(await textOf(join(folder, "old")), `a${END}${both}`);
    assert.equal(await textOf(join(folder, "old/*.txt")), `a${END}${both}`);
    assert.equal(await textOf([mangled, mangled]), both);
    await fails(join(folder, "old/x\ufffd.txt"), /cannot read .*x\ufffd\.txt/);
  });
});
