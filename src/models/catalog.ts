import type { Hparams } from "../model/hparams.js";
import type { OPENAI_FILES } from "./files.js";

export type ModelFile = (typeof OPENAI_FILES)[number];

/** Far more than any file of the largest GPT-2. */
export const MOST_BYTES: Readonly<Record<ModelFile, number>> = {
  checkpoint: 1 << 20,
  "encoder.json": 32 << 20,
  "hparams.json": 1 << 20,
  "model.ckpt.data-00000-of-00001": 32 * 2 ** 30,
  "model.ckpt.index": 64 << 20,
  "model.ckpt.meta": 1 << 30,
  "vocab.bpe": 32 << 20,
};

/** The TensorFlow graph, which a host may lack: nothing here reads it. */
export const OPTIONAL_FILE: ModelFile = "model.ckpt.meta";

/** What is known about a file in advance; the host's Content-Length supplies a missing size. */
export interface KnownFile {
  readonly bytes?: number;
  /** Lower-case hexadecimal. */
  readonly sha256?: string;
  /** More bytes than any such file has: where a download stops if the host does not give the length. */
  readonly most?: number;
}

/** One of OpenAI's models. */
export interface KnownModel {
  readonly name: string;
  /** OpenAI's later name for the same model. */
  readonly alias?: string;
  /** The model's folder on each host. */
  readonly remoteName: string;
  /** Number of parameters. */
  readonly parameters: number;
  readonly hparams?: Hparams;
  readonly files: Readonly<Partial<Record<ModelFile, KnownFile>>>;
  /** Identifies its numbers, however stored: fingerprint() (src/verify/tensors.ts) of the checkpoint's index. */
  readonly fingerprint?: string;
}

/** What can be downloaded from OpenAI's hosts, and from where. */
export interface Catalog {
  readonly models: readonly KnownModel[];
  /** Addresses above the models' folders, in the order to try them. */
  readonly hosts: readonly string[];
}

/** Hosts of OpenAI's files: their own storage, then a mirror kept for the book "Build a Large Language Model". */
const HOSTS: readonly string[] = [
  "https://openaipublic.blob.core.windows.net/gpt-2/models",
  "https://f001.backblazeb2.com/file/LLMs-from-scratch/gpt2",
];

const DATA: ModelFile = "model.ckpt.data-00000-of-00001";

/** One vocabulary serves all four models. */
const VOCABULARY: KnownModel["files"] = {
  "encoder.json": {
    bytes: 1_042_301,
    sha256: "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
  },
  "vocab.bpe": {
    bytes: 456_318,
    sha256: "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
  },
};

/** What all four models share, and what makes them larger. */
function hparams(n_layer: number, n_head: number, n_embd: number): Hparams {
  return { n_vocab: 50257, n_ctx: 1024, n_embd, n_head, n_layer };
}

/** OpenAI's four models. No sha256 was published for the larger data files: only their size is checked. */
export const MODELS: readonly KnownModel[] = [
  {
    name: "117M",
    alias: "124M",
    remoteName: "124M",
    parameters: 124_439_808,
    hparams: hparams(12, 12, 768),
    fingerprint: "70ecca8178653c1e4c14e27247690288c4d7ee9d12430afdf8475171867d3d1d",
    files: {
      ...VOCABULARY,
      checkpoint: {
        bytes: 77,
        sha256: "dd1b025d2e155283f5e300ce95bf6d5b6bc0f7fe010db73daa6975eb896ab9cb",
      },
      "hparams.json": {
        bytes: 90,
        sha256: "d9d56e4121c427164e0c55c6f03c08e1daf9002b9b672825112d19097b680318",
      },
      [DATA]: {
        bytes: 497_759_232,
        sha256: "2060c885360cc0cf41d7a6dbc4d24b5127aae20260c8b5ae521b5a6578407118",
      },
      "model.ckpt.index": {
        bytes: 5_215,
        sha256: "71916f763f9746f9b2a06b12d91996cf1084ae008d0424543d39391c5f2dc687",
      },
      "model.ckpt.meta": {
        bytes: 471_155,
        sha256: "4668c448fa11531fd6700460487f73e82d3272960cea942252f8744bf225c77b",
      },
    },
  },
  {
    name: "345M",
    alias: "355M",
    remoteName: "355M",
    parameters: 354_823_168,
    hparams: hparams(24, 16, 1024),
    files: {
      ...VOCABULARY,
      "hparams.json": { bytes: 91 },
      [DATA]: { bytes: 1_419_292_672 },
      "model.ckpt.index": { bytes: 10_399 },
    },
  },
  {
    name: "774M",
    remoteName: "774M",
    parameters: 774_030_080,
    hparams: hparams(36, 20, 1280),
    files: { ...VOCABULARY, [DATA]: { bytes: 3_096_120_320 } },
  },
  {
    name: "1558M",
    remoteName: "1558M",
    parameters: 1_557_611_200,
    hparams: hparams(48, 25, 1600),
    files: { ...VOCABULARY, [DATA]: { bytes: 6_230_444_800 } },
  },
];

export const CATALOG: Catalog = { models: MODELS, hosts: HOSTS };

/** The catalog's entry under this name or alias. */
export function catalogEntry(name: string, catalog: Catalog = CATALOG): KnownModel | undefined {
  return catalog.models.find((model) => model.name === name || model.alias === name);
}

/** The name of one of OpenAI's models, e.g. "117M" for "124M"; undefined for any other name. */
export function canonicalName(name: string): string | undefined {
  return catalogEntry(name)?.name;
}

/** All names of the catalog, for messages: "117M (= 124M), 345M (= 355M), 774M, 1558M". */
export function listModels(catalog: Catalog = CATALOG): string {
  return catalog.models.map(({ name, alias }) => (alias ? `${name} (= ${alias})` : name)).join(", ");
}
