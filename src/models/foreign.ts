import { readdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { isFileOf } from "./files.js";

/**
 * What a path leads to that is a model of another program's, and what to do with it.
 * @returns the rest of a sentence that begins with the path; undefined where it is no such thing
 */
export function foreignModel(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) {
    const names = readdirSync(path);
    const isHuggingFace = names.includes("config.json") || names.some((name) => isWeights(name));
    return isHuggingFace ? "is a Hugging Face model: `gpt2 import` it, then use the name it gets" : undefined;
  }
  if (found?.isFile()) {
    if (path.endsWith(".gguf")) return "is a GGUF file: `gpt2 import` it, then use the name it gets";
    const kind = isWeights(basename(path)) ? "a file of a model" : "a file";
    return `is ${kind}: name the folder that holds it, ${dirname(path)}`;
  }
  return undefined;
}

/** A name of the Hugging Face hub, USER/NAME, where there is no such folder. */
export function hubName(name: string): string | undefined {
  if (!/^\w[\w.-]*\/[\w.-]+$/.test(name)) return undefined;
  return (
    "is not a folder here. If it is a model of the Hugging Face hub, download its config.json, model.safetensors, " +
    "vocab.json and merges.txt into a folder, then `gpt2 import` that folder"
  );
}

const isWeights = (name: string): boolean =>
  (isFileOf("huggingface", name) && /\.safetensors$/.test(name)) ||
  /^pytorch_model.*\.bin$|\.(gguf|pt|pth|h5)$/.test(name);
