import assert from "node:assert/strict";
import { test } from "node:test";
import { createCpuEngine } from "../../../../dist/src/engines/cpu/inference/engine.js";
import { createTfjsEngine } from "../../../../dist/src/engines/tfjs/engine.js";
import { difference, readInPieces, testConformance } from "../../../support/conformance.js";
import { MICRO, SHAKESPEARE, STORIES, withSource } from "../../../support/models.js";

for (const threads of [1, 2]) {
  testConformance(`wasm on ${threads} threads`, (hparams, source) =>
    createCpuEngine(hparams, source, { threads }),
  );
}

test("the engines agree with each other to 1e-5 at every length", async () => {
  for (const fixture of [MICRO, SHAKESPEARE, STORIES]) {
    const engines = await withSource(fixture, async (hparams, source) => [
      await createCpuEngine(hparams, source),
      await createTfjsEngine(hparams, source, { backend: "tfjs-wasm" }),
    ]);
    for (const { ids } of fixture.expected.sequences) {
      const [a, b] = await Promise.all(engines.map((engine) => readInPieces(engine, ids, 50)));
      const found = difference(a, b);
      assert.ok(found < 1e-5, `${fixture.name}, ${ids.length} tokens: ${found}`);
    }
    for (const engine of engines) await engine.dispose();
  }
});
