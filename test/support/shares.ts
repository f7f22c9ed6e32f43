/** Where in [0, 1) a draw goes from one token to the next, found by halving: the distribution to the last bits. */
export function shares(draw: (u: number) => number, n_vocab: number): number[] {
  const p = new Array<number>(n_vocab).fill(0);
  let from = 0;
  while (from < 1) {
    const id = draw(from);
    let low = from;
    let high = 1;
    while (high - low > 2 ** -50) {
      const middle = (low + high) / 2;
      if (draw(middle) === id) low = middle;
      else high = middle;
    }
    p[id] += high - from;
    from = high;
  }
  return p;
}
