import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import {
  EXIT,
  messageOf,
  option,
  reasonOf,
  UsageError,
  UserError,
  writeOptionsAs,
} from "../../dist/src/system/errors.js";

describe("errors for users", () => {
  test("the message is reason and next step; each can be had alone", () => {
    const error = new UserError("models/x is a file", { next: "choose another name" });
    assert.equal(error.message, "models/x is a file: choose another name");
    assert.equal(error.reason, "models/x is a file");
    assert.equal(error.next, "choose another name");
    assert.equal(error.exitCode, EXIT.failed);
    assert.equal(new UserError("stopped").message, "stopped");
    assert.equal(new UserError("stopped").next, undefined);
    assert.equal(new UsageError("no such model", { next: "see the list" }).exitCode, EXIT.usage);
  });

  test("whoever gives another next step takes the reason of what failed", () => {
    assert.equal(
      reasonOf(new UserError("a.json is not JSON", { next: "fetch it again" })),
      "a.json is not JSON",
    );
    assert.equal(reasonOf(new TypeError("no")), "no");
  });

  test("reason and next are each one line that moves no cursor, whatever they quote", () => {
    const { message, reason, next } = new UserError("a\n\u001b[2J", { next: `b\u009b${"c".repeat(9999)}` });
    assert.equal(reason, "a \\u001b[2J");
    assert.match(next ?? "", /^b\\u009bc+\.\.\.c+$/);
    assert.ok(message.startsWith("a \\u001b[2J: b") && message.length <= 1500);
    assert.equal(messageOf("x\ny"), "x y");
  });
});

describe("how a message names an option", () => {
  const library = (name: string, value?: string | number | true): string =>
    value === undefined ? name : `${name}: ${JSON.stringify(value)}`;
  afterEach(() => writeOptionsAs(library));

  test("as a property, unless the process has a way of its own", () => {
    assert.equal(option("precision"), "precision");
    assert.equal(option("precision", "int8"), 'precision: "int8"');
    assert.equal(option("threads", 1), "threads: 1");
    assert.equal(option("overwrite", true), "overwrite: true");
    writeOptionsAs((name, value) => `<${name}=${value}>`);
    assert.equal(option("precision", "int8"), "<precision=int8>");
  });
});
