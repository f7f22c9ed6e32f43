import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation, generate, loadModel, logits } from "../../dist/src/index.js";
import { Turns } from "../../dist/src/sampling/turns.js";
import { assertDone, assertFails, gpt2, MICRO } from "../support/spawn.js";

const END = 99;
/** One token per digit; 8 precedes every text. */
const model = (n_ctx: number, begin: number[] = []) => ({
  encoder: {
    encode: (text: string) => [...text].map(Number),
    endOfText: END,
    special: { eos: [END], begin, added: new Map(), add_prefix_space: false },
  },
  hparams: { n_vocab: 100, n_ctx, n_embd: 1, n_head: 1, n_layer: 1 },
});

test("turns are parted by the token that ends a text; the oldest leave when the context is full", () => {
  const turns = new Turns(model(20, [8]));
  assert.deepEqual(turns.ask("12", { length: 4 }), [8, 1, 2, END]);
  turns.answer([3, 4]);
  assert.deepEqual(turns.ask("5", { length: 4 }), [8, 1, 2, END, 3, 4, END, 5, END]);
  turns.answer("67");
  // 15 tokens have room beside the first one and an answer of 4.
  assert.deepEqual(turns.ask("111", { length: 4 }), [
    8,
    1,
    2,
    END,
    3,
    4,
    END,
    5,
    END,
    6,
    7,
    END,
    1,
    1,
    1,
    END,
  ]);
  turns.answer([]);
  assert.deepEqual(turns.ask("2", { length: 4 }), [
    8,
    3,
    4,
    END,
    5,
    END,
    6,
    7,
    END,
    1,
    1,
    1,
    END,
    END,
    2,
    END,
  ]);
  // Without a length half of the context is kept free; the line itself stays, however long it is.
  assert.deepEqual(turns.ask("1234567890123"), [8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, END]);
  turns.forget();
  assert.deepEqual(turns.ask("1"), [8, 1, END]);
  const endless = model(20);
  assert.throws(() => new Turns({ ...endless, encoder: { ...endless.encoder, endOfText: undefined } }), {
    name: "UserError",
    message: /no token that ends a text.*: choose another model/,
  });
});

const OPTIONS = { seed: 7, length: 6, temperature: 0 };

test("library and command line: the second answer follows what was said", async () => {
  const micro = await loadModel(MICRO);
  try {
    const { encoder } = micro;
    const end = encoder.endOfText as number;
    const write = async (pieces: AsyncIterable<string>): Promise<string> => {
      let text = "";
      for await (const piece of pieces) text += piece;
      return text;
    };
    const talk = new Conversation(micro);
    const first = await write(talk.say("the cat", OPTIONS));
    const second = await write(talk.say("a dog", OPTIONS));
    const [line, next] = ["the cat", "a dog"].map((text) => [...encoder.encode(text), end]);
    assert.equal(first, await write(generate(micro, line, OPTIONS)));
    const drawn: number[] = [];
    while (drawn.length < 6) {
      const next = await logits(micro, [...line, ...drawn]);
      drawn.push(next.indexOf(Math.max(...next)));
    }
    assert.equal(encoder.decode(drawn), first);
    const said = [...line, ...drawn, end, ...next];
    assert.equal(second, await write(generate(micro, said, OPTIONS)));
    assert.notEqual(second, await write(generate(micro, next, OPTIONS)));
    talk.forget();
    assert.equal(await write(talk.say("the cat", OPTIONS)), first);

    const flags = ["--seed", "7", "--length", "6", "--temperature", "0", "--format", "jsonl", "--quiet"];
    const out = await gpt2(["interactive", "--turns", "--model_name", MICRO, ...flags], {
      stdin: "the cat\na dog\n",
    });
    assertDone(out);
    const records = out.stdout.trim().split("\n");
    assert.deepEqual(
      records.map((record) => {
        const { prompt, text } = JSON.parse(record) as { prompt: string; text: string };
        return [prompt, text];
      }),
      [
        ["the cat", first],
        ["a dog", second],
      ],
    );
  } finally {
    await micro.dispose();
  }
  assertFails(await gpt2(["generate", "a", "--turns"]), 2, /--turns/);
});
