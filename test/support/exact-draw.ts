import { expNegative } from "../../dist/src/system/exact-math.js";

export interface ExactOptions {
  readonly temperature: number;
  readonly typical_p: number;
  readonly top_p: number;
  readonly min_p: number;
  /** Mirostat's bound, in bits; Infinity = off. */
  readonly mu: number;
}

interface Token {
  readonly id: number;
  readonly weight: number;
}

const sumOf = (tokens: readonly Token[]): number => tokens.reduce((sum, { weight }) => sum + weight, 0);

/** The token that a uniform number u draws: every weight exact, every token sorted, every sum in order of id. */
export function exactDraw(
  logits: readonly number[],
  { temperature, typical_p, top_p, min_p, mu }: ExactOptions,
  u: number,
): number {
  const max = logits.reduce((a, b) => Math.max(a, b));
  let tokens = logits.map((logit, id): Token => ({ id, weight: expNegative((logit - max) / temperature) }));
  if (typical_p < 1) {
    const x = (id: number): number => (logits[id] - max) / temperature;
    const total = sumOf(tokens);
    tokens = tokens.filter(({ weight }) => weight > 0);
    const mean = tokens.reduce((sum, { id, weight }) => sum + weight * x(id), 0) / total;
    const distance = ({ id }: Token): number => Math.abs(x(id) - mean);
    const order = [...tokens].sort((a, b) => distance(a) - distance(b));
    let [reached, size] = [0, 0];
    while (size < order.length && reached < typical_p * total) reached += order[size++].weight;
    const limit = distance(order[Math.max(size, 1) - 1]);
    tokens = tokens.filter((token) => distance(token) <= limit);
  }
  if (top_p < 1) {
    const wanted = top_p * sumOf(tokens);
    const order = [...tokens].sort((a, b) => b.weight - a.weight || a.id - b.id);
    let [reached, size] = [0, 0];
    while (size < order.length && reached < wanted) reached += order[size++].weight;
    tokens = order.slice(0, Math.max(size, 1)).sort((a, b) => a.id - b.id);
  }
  tokens = tokens.filter(({ weight }) => weight >= min_p);
  if (mu < Infinity) {
    const largest = tokens.reduce((most, { weight }) => Math.max(most, weight), 0);
    const least = Math.min(largest, sumOf(tokens) * expNegative(-mu * Math.LN2));
    tokens = tokens.filter(({ weight }) => weight >= least);
  }
  const target = u * sumOf(tokens);
  let cumulative = 0;
  for (const { id, weight } of tokens) {
    cumulative += weight;
    if (cumulative > target) return id;
  }
  return tokens.reduce((best, token) => (token.weight > best.weight ? token : best)).id;
}

/** Numbers u at which the token that exactDraw() draws changes, or all but. */
export function boundaries(logits: readonly number[], temperature: number): number[] {
  const max = logits.reduce((a, b) => Math.max(a, b));
  const weights = logits.map((logit) => expNegative((logit - max) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let cumulative = 0;
  return weights.map((weight) => {
    cumulative += weight;
    return cumulative / total;
  });
}
