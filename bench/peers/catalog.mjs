// The peers by name: how each is started, what it is compared with, how much it reads per token.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SHAPES } from "../../dist/src/model/openai-shapes.js";
import { countParameters } from "../../dist/src/model/parameters.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const node = (script, ...args) => [process.execPath, join(here, script), ...args];

const FLOAT32 = 4;
const FLOAT16 = 2;
const INT8 = 1;
const Q8_0 = 34 / 32; // a float16 scale for 32 weights

/** name -> precision, bytes read per weight, and the command for the given files and packages. */
export const PEERS = {
  "ours-float32": {
    precision: "float32",
    width: FLOAT32,
    command: () => node("gpt2.mjs", "--precision", "float32"),
  },
  "ours-int8": { precision: "int8", width: INT8, command: () => node("gpt2.mjs", "--precision", "int8") },
  "ours-float16": {
    precision: "float32", // float32 arithmetic on weights of half the width
    width: FLOAT16,
    command: () => node("gpt2.mjs", "--precision", "float16"),
  },
  "ours-wasm-float32": {
    precision: "float32",
    width: FLOAT32,
    command: () => node("gpt2.mjs", "--precision", "float32", "--backend", "wasm"),
  },
  "ours-wasm-int8": {
    precision: "int8",
    width: INT8,
    command: () => node("gpt2.mjs", "--precision", "int8", "--backend", "wasm"),
  },
  "onnxruntime-float32": onnxruntime("float32", FLOAT32),
  "onnxruntime-int8": onnxruntime("int8", INT8),
  "tfjs-wasm": {
    precision: "float32",
    width: FLOAT32,
    command: () => node("gpt2.mjs", "--backend", "tfjs-wasm"),
  },
  torch: {
    precision: "float32",
    width: FLOAT32,
    command: ({ python }) => [python, join(here, "torch_peer.py")],
  },
  "llama-f32": llama("f32", "float32", FLOAT32),
  "llama-q8": llama("q8_0", "int8", Q8_0),
};

function withModules(command, modules) {
  return modules === undefined ? command : [...command, "--modules", modules];
}

function onnxruntime(precision, width) {
  const command = ({ folder, modules }) =>
    withModules(node("onnxruntime.mjs", "--file", join(folder, `gpt2_${precision}.onnx`)), modules);
  return { precision, width, command };
}

function llama(kind, precision, width) {
  const command = ({ folder, modules }) =>
    withModules(node("llama.mjs", "--file", join(folder, `gpt2_${kind}.gguf`)), modules);
  return { precision, width, command };
}

/**
 * Bytes of weights read to decode one token: every parameter once, except wpe, of which one row is read. (wte is read as
 * the output matrix.) 494.6 MB in float32. Scales and biases, in float32, are not counted separately.
 */
export function bytesPerToken(name) {
  const hparams = SHAPES["124M"];
  return (countParameters(hparams) - hparams.n_ctx * hparams.n_embd) * PEERS[name].width;
}

/** Pairs [ours, peer] of the same precision among the names. */
export function pairs(names) {
  const ours = names.filter((name) => name.startsWith("ours-"));
  return ours.flatMap((mine) =>
    names
      .filter((name) => !name.startsWith("ours-") && PEERS[name].precision === PEERS[mine].precision)
      .map((name) => [mine, name]),
  );
}
