import type { Reference } from "../reference.js";

const source = "a float64 implementation";

/** What the demo model stories computes, so that a machine can be tried without a download. Ids: its own vocabulary's. */
export const STORIES: Reference = {
  continuations: [
    {
      prompt: "Once upon a time",
      ids: [
        11, 395, 282, 258, 391, 468, 403, 396, 13, 336, 492, 265, 329, 328, 324, 608, 266, 690, 1051, 825, 13,
        516, 330, 11, 379, 506, 258, 351, 11, 701, 493, 313, 324, 1265, 13, 336, 282, 383, 382, 266,
      ],
      source,
    },
  ],
  logits: [
    {
      ids: [1022, 1207, 1231, 1457, 58, 993, 302],
      position: 6,
      values: [5.160547, 3.325201, -6.086918, -6.053178, -7.133127],
      tolerance: 1e-3,
      source,
    },
  ],
  logprobs: [{ prompt: "", token: "Once", logprob: -10.666969, tolerance: 1e-4, source }],
};
