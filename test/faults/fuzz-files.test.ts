/** Every kind of file that a model is made of, spoiled 10,000 times: see support/campaign.ts. */
import { fuzzTargets } from "./support/campaign.js";

// The longest first: two run at a time.
fuzzTargets(
  "config",
  "tokenizer",
  "manifest",
  "encoder",
  "snappy",
  "index",
  "torch",
  "torch-legacy",
  "gguf",
  "safetensors",
  "hparams",
  "state",
);
