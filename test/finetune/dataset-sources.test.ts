import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { homedir } from "node:os";
import { join, relative } from "node:path";
import { before, describe, test } from "node:test";
import { loadDataset } from "../../dist/src/finetune/dataset/corpus.js";
import { UsageError } from "../../dist/src/system/errors.js";
import { bytes, decodeAll, END, fails, folder, gpt2, START, textOf, write } from "../support/datasets.js";

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

  test("a table without commas is told", async () => {
    const { notices } = await loadDataset(write("semi.csv", "title;votes\none;1\n"), gpt2);
    assert.match(notices.join(), /semi\.csv: no comma parts its first line/);
    assert.deepEqual((await loadDataset(write("lone.csv", "title\none; two\n"), gpt2)).notices, []);
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
