import { readdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { isForeignWeights } from "./files.js";

/**
 * Whether a path leads to another program's model, and what to do with it.
 * @returns the rest of a sentence that begins with the path; undefined if it does not
 */
export function foreignModel(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) {
    const names = readdirSync(path);
    const isHuggingFace = names.includes("config.json") || names.some((name) => isForeignWeights(name));
    return isHuggingFace ? "is a Hugging Face model: `gpt2 import` it, then use the name it gets" : undefined;
  }
  if (found?.isFile()) {
    if (path.endsWith(".gguf")) return "is a GGUF file: `gpt2 import` it, then use the name it gets";
    return isForeignWeights(basename(path))
      ? "is a model's file: `gpt2 import` it, then use the name it gets"
      : `is a file: name the folder that holds it, ${dirname(path)}`;
  }
  return undefined;
}
