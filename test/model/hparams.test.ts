import assert from "node:assert/strict";
import { test } from "node:test";
import { attentionScale, type Hparams, hparamsJson, parseHparams } from "../../dist/src/model/hparams.js";
import { countParameters, parameterShapes, sizeOf } from "../../dist/src/model/parameters.js";

const OPENAI: Hparams = { n_vocab: 50, n_ctx: 16, n_embd: 12, n_head: 3, n_layer: 2 };
const OTHER: Hparams = {
  ...OPENAI,
  n_inner: 20,
  activation_function: "gelu",
  layer_norm_epsilon: 1e-6,
  scale_attn_weights: false,
  scale_attn_by_inverse_layer_idx: true,
  tie_word_embeddings: false,
};

test("a model like OpenAI's has OpenAI's five numbers in its hparams.json, and nothing else", () => {
  const json = hparamsJson({
    ...OPENAI,
    n_inner: 48,
    activation_function: "gelu_new",
    tie_word_embeddings: true,
  });
  assert.equal(
    json,
    '{\n  "n_vocab": 50,\n  "n_ctx": 16,\n  "n_embd": 12,\n  "n_head": 3,\n  "n_layer": 2\n}\n',
  );
  assert.deepEqual(parseHparams(json, "f"), OPENAI);
});

test("any other model has Hugging Face's names, which a program for OpenAI's file does not find", () => {
  for (const [name, value] of Object.entries(OTHER)) {
    const hparams = { ...OPENAI, [name]: value };
    const json = hparamsJson(hparams);
    assert.deepEqual(parseHparams(json, "f"), hparams);
    assert.equal("n_vocab" in JSON.parse(json), name in OPENAI, name);
  }
  assert.deepEqual(parseHparams(hparamsJson(OTHER), "f"), OTHER);
});

test("an option that is unknown, or has a value that it cannot have, is named", () => {
  const file = (change: object): string => JSON.stringify({ ...JSON.parse(hparamsJson(OTHER)), ...change });
  const bad: readonly (readonly [object, RegExp])[] = [
    [{ rotary: true }, /f has an option that is not known here, "rotary"/],
    [{ activation_function: "mish" }, /activation_function must be one of gelu_new, gelu, relu/],
    [{ activation_function: "toString" }, /activation_function must be one of/],
    [{ layer_norm_epsilon: 0 }, /layer_norm_epsilon must be a number from/],
    [{ layer_norm_epsilon: "1e-5" }, /layer_norm_epsilon must be a number from/],
    [{ n_inner: 1.5 }, /n_inner must be a positive whole number, not 1.5/],
    [{ scale_attn_weights: 1 }, /scale_attn_weights must be true or false, not 1/],
    [{ vocab_size: 0 }, /vocab_size must be a positive whole number/],
    [{ n_head: 5 }, /n_embd 12 is not a multiple of n_head 5/],
  ];
  for (const [change, message] of bad) assert.throws(() => parseHparams(file(change), "f"), message);
});

test("parameters: an inner width of its own, an output matrix of its own; their number is the sum of the shapes", () => {
  const shapes = parameterShapes(OTHER);
  assert.deepEqual(shapes.get("model/h1/mlp/c_fc/w"), [1, 12, 20]);
  assert.deepEqual(shapes.get("model/h1/mlp/c_proj/w"), [1, 20, 12]);
  assert.deepEqual(shapes.get("model/lm_head"), [50, 12]);
  assert.ok(!parameterShapes(OPENAI).has("model/lm_head"));
  for (const hparams of [OPENAI, OTHER]) {
    const sum = [...parameterShapes(hparams).values()].reduce((total, shape) => total + sizeOf(shape), 0);
    assert.equal(countParameters(hparams), sum);
  }
});

test("the factor of attention's scores", () => {
  const close = (found: number, wanted: number): void => assert.ok(Math.abs(found / wanted - 1) < 1e-7);
  close(attentionScale(OPENAI, 1), 1 / 2);
  close(attentionScale({ ...OPENAI, scale_attn_by_inverse_layer_idx: true }, 2), 1 / 6);
  close(attentionScale({ ...OPENAI, scale_attn_weights: false }, 2), 1);
  close(attentionScale(OTHER, 2), 1 / 3);
});
