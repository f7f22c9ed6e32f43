import { attentionScale, type Hparams } from "../../../model/hparams.js";

/**
 * A layer's attention weights from its queries and keys: softmax(q k^T scale), each token over itself and those before
 * it. In float64, whatever computed q and k.
 * @param qkv [n, 3 n_embd] the layer's queries, keys and values
 * @param layer from 0
 * @param weights [n_head, n, n], zeros, which it fills up to the diagonal
 */
export function fillAttentionWeights(
  hparams: Hparams,
  layer: number,
  qkv: Float32Array,
  weights: Float32Array,
): void {
  const { n_embd, n_head } = hparams;
  const n = qkv.length / (3 * n_embd);
  const n_state = n_embd / n_head; // features of a head
  const scale = attentionScale(hparams, layer);
  const scores = new Float64Array(n);
  for (let head = 0; head < n_head; head++) {
    for (let token = 0; token < n; token++) {
      const q = token * 3 * n_embd + head * n_state;
      let max = -Infinity;
      for (let from = 0; from <= token; from++) {
        const k = (from * 3 + 1) * n_embd + head * n_state;
        let score = 0;
        for (let i = 0; i < n_state; i++) score += qkv[q + i] * qkv[k + i];
        scores[from] = score * scale;
        max = Math.max(max, scores[from]);
      }
      let sum = 0;
      for (let from = 0; from <= token; from++) {
        scores[from] = Math.exp(scores[from] - max);
        sum += scores[from];
      }
      const row = (head * n + token) * n;
      for (let from = 0; from <= token; from++) weights[row + from] = scores[from] / sum;
    }
  }
}
