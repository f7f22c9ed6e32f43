// Loaded before every test. Where assert.ok() has no message, Node 20 and 22 look for the expression in the source, by the
// place in the code that tsx made of it: on one long line, which took minutes, and names another expression.
import assert from "node:assert/strict";

const { ok } = assert;
assert.ok = function quick(...args) {
  if (args.length < 2 && !args[0]) {
    throw new assert.AssertionError({
      message: `${args[0]} is not truthy`,
      actual: args[0],
      expected: true,
      operator: "==",
      stackStartFn: quick,
    });
  }
  ok(...args);
};
