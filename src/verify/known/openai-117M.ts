import type { Reference } from "../reference.js";

/** What other programs computed with OpenAI's 117M in float32, each with where it was published. */
export const OPENAI_117M: Reference = {
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
