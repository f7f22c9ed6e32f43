import { catalogEntry } from "../models/catalog.js";
import type { Reference } from "./reference.js";

/** Weights that are recognised by their numbers. */
export interface KnownWeights {
  /** As in "these are the weights of OpenAI's 117M". */
  readonly title: string;
  /** Their fingerprint(), see tensors.ts. */
  readonly fingerprint: string;
  /** Whether they were trained with OpenAI's vocabulary. */
  readonly isOpenAi: boolean;
  /** What they should compute. */
  readonly reference: Reference;
}

/** What other programs computed with OpenAI's 117M in float32, and where each result was published. */
const OPENAI_117M: Reference = {
  continuations: [
    {
      prompt: "Alan Turing theorized that computers would one day become",
      ids: [
        262, 749, 3665, 8217, 319, 262, 5440, 13, 198, 198, 464, 3644, 318, 257, 4572, 326, 460, 1620, 3716,
        16765, 11, 290, 340, 460, 1620, 777, 16765, 287, 257, 835, 326, 318, 845, 2092, 284, 262, 1692, 3632,
        13, 198,
      ],
      source: "picoGPT's README",
    },
    {
      prompt: "The dog",
      ids: [
        373, 1043, 287, 257, 2214, 1474, 262, 16246, 286, 2688, 290, 2688, 27262, 13, 198, 198, 464, 3290,
      ],
      source: "Hugging Face's tests",
    },
    {
      prompt: "Hello, my dog is a little",
      ids: [1643, 286, 257, 2085, 13, 314, 1101, 407, 1654, 611, 339, 338, 1016],
      source: "Hugging Face's tests",
    },
    {
      prompt: "Today, I",
      ids: [1101, 1016, 284, 307, 1804, 257, 1256, 286, 2267, 319, 428, 13, 314],
      source: "Hugging Face's tests",
    },
    {
      prompt: "The capital of France is",
      ids: [
        262, 3139, 286, 262, 4141, 2066, 11, 290, 262, 3139, 286, 262, 4141, 2066, 318, 262, 3139, 286, 262,
        4141, 2066, 13, 198, 198, 464, 4141, 2066, 318, 262, 3139, 286, 262,
      ],
      source: "paiml/tiny-model-ground-truth",
    },
  ],
  logits: [
    {
      ids: [15496, 11, 314, 716], // "Hello, I am"
      position: 0,
      values: [-35.2362442, -35.32659531, -38.97534943, -39.39067459, -37.65318298],
      mean: -111.89471436,
      tolerance: 1e-3,
      source: "ONNX Runtime's GPT-2",
    },
  ],
  logprobs: [
    {
      prompt: "Hello, my name is",
      token: " John",
      logprob: -4.6114,
      tolerance: 1e-4,
      source: "rust-bert's tests",
    },
  ],
};

/** Where the demo models' results come from. */
const FLOAT64 = "a float64 implementation";

/** What the demo model stories computes: checks a machine without a download. Ids are of its own vocabulary. */
const STORIES: Reference = {
  continuations: [
    {
      prompt: "Once upon a time",
      ids: [
        11, 395, 282, 258, 391, 468, 403, 396, 13, 336, 492, 265, 329, 328, 324, 608, 266, 690, 1051, 825, 13,
        516, 330, 11, 379, 506, 258, 351, 11, 701, 493, 313, 324, 1265, 13, 336, 282, 383, 382, 266,
      ],
      source: FLOAT64,
    },
  ],
  logits: [
    {
      ids: [1022, 1207, 1231, 1457, 58, 993, 302],
      position: 6,
      values: [5.160547, 3.325201, -6.086918, -6.053178, -7.133127],
      tolerance: 1e-3,
      source: FLOAT64,
    },
  ],
  logprobs: [{ prompt: "", token: "Once", logprob: -10.666969, tolerance: 1e-4, source: FLOAT64 }],
};

/** What the demo model shakespeare computes: checks a machine without a download. Ids are of its own vocabulary. */
const SHAKESPEARE: Reference = {
  continuations: [
    {
      prompt: "ROMEO:",
      ids: [
        198, 40, 384, 321, 268, 361, 67, 272, 287, 267, 268, 378, 13, 198, 198, 858, 25, 198, 40, 466, 258,
        260, 382, 11, 296, 258, 260, 634, 310, 508, 12, 65, 315, 268, 299, 556, 753, 13, 198, 198,
      ],
      source: FLOAT64,
    },
  ],
  logits: [
    {
      ids: [510, 603, 615, 728, 29, 496, 151],
      position: 6,
      values: [6.68749, -11.070892, -11.641332, -9.617502, -11.547485],
      tolerance: 1e-3,
      source: FLOAT64,
    },
  ],
  logprobs: [{ prompt: "", token: "To", logprob: -5.164304, tolerance: 1e-4, source: FLOAT64 }],
};

/** No checksums of tensors and no results were found for OpenAI's larger models. */
export const KNOWN_WEIGHTS: readonly KnownWeights[] = [
  {
    title: "OpenAI's 117M",
    fingerprint: catalogEntry("117M")?.fingerprint ?? "",
    isOpenAi: true,
    reference: OPENAI_117M,
  },
  {
    title: "the demo model stories",
    fingerprint: "373837937aadbee61002631d6eeafe44aa9acf0809fb638213762ed90b2c5fa4",
    isOpenAi: false,
    reference: STORIES,
  },
  {
    title: "the demo model shakespeare",
    fingerprint: "acc873ec6bf311f31bab21e30582358eff23fa7015b41cf133d6347e624b97b9",
    isOpenAi: false,
    reference: SHAKESPEARE,
  },
];
