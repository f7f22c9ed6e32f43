import { Mode } from "../../../../assembly/abi.js";
import { type Activation, architectureOf, type Hparams } from "../../../model/hparams.js";

const MODES: Readonly<Record<Activation, Mode>> = {
  gelu_new: Mode.GELU_NEW,
  gelu: Mode.GELU,
  relu: Mode.RELU,
  silu: Mode.SILU,
  quick_gelu: Mode.QUICK_GELU,
};

/** attentionScale(), with every operation in float32. */
export function attentionScaleFloat32(hparams: Hparams, layer: number): number {
  const { scale_attn_weights, scale_attn_by_inverse_layer_idx } = architectureOf(hparams);
  const root = Math.fround(Math.sqrt(hparams.n_embd / hparams.n_head));
  const scale = scale_attn_weights ? Math.fround(1 / root) : 1;
  return scale_attn_by_inverse_layer_idx ? Math.fround(scale / (layer + 1)) : scale;
}

/** The kernels' number for a model's activation. */
export function modeOf(hparams: Hparams): Mode {
  return MODES[architectureOf(hparams).activation_function];
}
