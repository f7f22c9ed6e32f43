/**
 * What drawing a token does to every token of a vocabulary, two or four at a time, for src/sampling/kernels/kernels.ts, where
 * each function is explained. Every operation is rounded by itself and every sum has one order: the bits are those of
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
