import type { GradConfig, NamedAttrMap, Tensor } from "@tensorflow/tfjs-core";
import type { Tf } from "./backend.js";
import { product } from "./product.js";

/** The gradient of one operation: what it keeps of the forward pass, and each input's gradient. */
interface Rule {
  readonly inputs?: readonly string[];
  readonly keepsOutput?: boolean;
  readonly gradient: (dy: Tensor, saved: Tensor[], attrs: NamedAttrMap) => Record<string, () => Tensor>;
}

/** For each operation in GPT-2: how the gradient of its result becomes that of its inputs. */
function rulesOf(tf: Tf): Record<string, Rule> {
  /** Sums over the axes along which an input was broadcast. */
  const fold = (dy: Tensor, { shape }: Tensor): Tensor => {
    const axes = tf.broadcast_util.getReductionAxes(shape, dy.shape);
    return tf.reshape(axes.length > 0 ? tf.sum(dy, axes) : dy, shape); // [...result] -> [...input]
  };
  const inputs = ["a", "b"];
  return {
    Add: {
      inputs,
      gradient: (dy, [a, b]) => ({ a: () => fold(dy, a), b: () => fold(dy, b) }),
    },
    Sub: {
      inputs,
      gradient: (dy, [a, b]) => ({ a: () => fold(dy, a), b: () => fold(tf.neg(dy), b) }),
    },
    Multiply: {
      inputs,
      gradient: (dy, [a, b]) => ({ a: () => fold(tf.mul(dy, b), a), b: () => fold(tf.mul(dy, a), b) }),
    },
    BatchMatMul: {
      inputs,
      gradient: (dy, [a, b], { transposeA, transposeB }) => {
        const [isA, isB] = [transposeA === true, transposeB === true];
        return {
          a: () => (isA ? product(tf, b, dy, isB, true) : product(tf, dy, b, false, !isB)),
          b: () => (isB ? product(tf, dy, a, true, isA) : product(tf, a, dy, !isA, false)),
        };
      },
    },
    Square: { inputs: ["x"], gradient: (dy, [x]) => ({ x: () => tf.mul(dy, tf.mul(x, 2)) }) },
    Rsqrt: {
      keepsOutput: true,
      gradient: (dy, [y]) => ({ x: () => tf.mul(dy, tf.mul(tf.mul(tf.mul(y, y), y), -0.5)) }),
    },
    Tanh: { keepsOutput: true, gradient: (dy, [y]) => ({ x: () => tf.mul(dy, tf.sub(1, tf.square(y))) }) },
    Erf: {
      inputs: ["x"],
      gradient: (dy, [x]) => ({
        x: () => tf.mul(dy, tf.mul(tf.exp(tf.neg(tf.square(x))), 2 / Math.sqrt(Math.PI))),
      }),
    },
    Relu: { inputs: ["x"], gradient: (dy, [x]) => ({ x: () => tf.mul(dy, tf.step(x)) }) },
    Sigmoid: {
      keepsOutput: true,
      gradient: (dy, [y]) => ({ x: () => tf.mul(dy, tf.mul(y, tf.sub(1, y))) }),
    },
    Mean: {
      inputs: ["x"],
      gradient: (dy, [x], { axis }) => ({
        x: () => {
          const axes = tf.util.parseAxisParam(axis as number | number[], x.shape);
          const kept = x.shape.map((n, i) => (axes.includes(i) ? 1 : n));
          const n = axes.reduce((product, i) => product * x.shape[i], 1);
          return tf.mul(tf.reshape(dy, kept), tf.fill(x.shape, 1 / n));
        },
      }),
    },
    Softmax: {
      keepsOutput: true,
      gradient: (dy, [y], { dim }) => ({
        logits: () => tf.mul(y, tf.sub(dy, tf.sum(tf.mul(dy, y), dim as number, true))),
      }),
    },
    Reshape: { inputs: ["x"], gradient: (dy, [x]) => ({ x: () => tf.reshape(dy, x.shape) }) },
    Transpose: {
      gradient: (dy, _, { perm }) => ({
        x: () =>
          tf.transpose(
            dy,
            (perm as number[]).map((_, axis) => (perm as number[]).indexOf(axis)),
          ),
      }),
    },
    Slice: {
      inputs: ["x"],
      gradient: (dy, [x], { begin }) => ({
        x: () => {
          const paddings = (begin as number[]).map((from, axis): [number, number] => [
            from,
            x.shape[axis] - from - dy.shape[axis],
          ]);
          return tf.pad(dy, paddings);
        },
      }),
    },
    // Its result, and so dy, is several tensors.
    SplitV: {
      gradient: (dy, _, { axis }) => ({
        x: () => tf.concat(dy as unknown as Tensor[], axis as number),
      }),
    },
    Cast: { gradient: (dy) => ({ x: () => dy.clone() }) }, // from float32 to float32: there are no others here
    Identity: { gradient: (dy) => ({ x: () => dy.clone() }) },
  };
}

/**
 * Registers the gradients of GPT-2's operations with TensorFlow.js's autodiff. tfjs-core records operations and walks
 * back over them, but the build that Node loads has no gradients. The packages that register them in Node are
 * tfjs-node, whose own are kept, and tfjs-layers: 31 MB for this one thing.
 */
export function registerGradients(tf: Tf): void {
  for (const [kernelName, rule] of Object.entries(rulesOf(tf))) {
    if (tf.getGradient(kernelName)) continue;
    const config: GradConfig = {
      kernelName,
      inputsToSave: [...(rule.inputs ?? [])],
      outputsToSave: rule.keepsOutput ? [true] : [],
      gradFunc: (dy, saved, attrs) => rule.gradient(dy as Tensor, saved, attrs),
    };
    tf.registerGradient(config);
  }
}
