/**
 * The passes over a whole vocabulary that drawing a token takes, two or four values at a time. Each function is explained in
 * src/sampling/kernels/kernels.ts. Every operation is rounded by itself and every sum has one order: the bits are those of
 * src/sampling/kernels/plain.ts.
 */
export { argmax, keepAbove, keepAll, keepLargest, rankOf, widen } from "./largest";
export {
  CONSTANTS,
  adjusted,
  bins,
  exponents,
  ids,
  kept,
  logits,
  places,
  reserve,
  weights,
} from "./memory";
export { drawRoughly, error, momentError, rest, restMoment, sumOfExp, sumOfRest } from "./rough";
export {
  countNear,
  findBin,
  findHeavy,
  keepNear,
  keepPlaces,
  lowest,
  measure,
  moment,
  total,
  walk,
  weigh,
} from "./weights";
