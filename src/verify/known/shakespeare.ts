import type { Reference } from "../reference.js";

const source = "a float64 implementation";

/** What the demo model shakespeare computes, so that a machine can be tried without a download. Ids: its own vocabulary's. */
export const SHAKESPEARE: Reference = {
  continuations: [
    {
      prompt: "ROMEO:",
      ids: [
        198, 40, 384, 321, 268, 361, 67, 272, 287, 267, 268, 378, 13, 198, 198, 858, 25, 198, 40, 466, 258,
        260, 382, 11, 296, 258, 260, 634, 310, 508, 12, 65, 315, 268, 299, 556, 753, 13, 198, 198,
      ],
      source,
    },
  ],
  logits: [
    {
      ids: [510, 603, 615, 728, 29, 496, 151],
      position: 6,
      values: [6.68749, -11.070892, -11.641332, -9.617502, -11.547485],
      tolerance: 1e-3,
      source,
    },
  ],
  logprobs: [{ prompt: "", token: "To", logprob: -5.164304, tolerance: 1e-4, source }],
};
