import type { Tensor, Variable } from "@tensorflow/tfjs-core";
import { ADAM } from "../../model/trainer.js";
import { power } from "../../system/exact-math.js";
import type { Tf } from "./backend.js";

/** Updates parameters by their gradients. */
export interface Optimizer {
  /** Its state, by name, in the shapes of the parameters. */
  readonly moments: ReadonlyMap<string, Variable>;
  /**
   * Updates one parameter.
   * @param gradient still the caller's
   * @param t number of this update, from 1
   */
  step(name: string, parameter: Variable, gradient: Tensor, learning_rate: number, t: number): void;
}

/** p - lr g */
export function createSgd(tf: Tf): Optimizer {
  return {
    moments: new Map(),
    step: (_name, parameter, gradient, learning_rate) =>
      tf.tidy(() => parameter.assign(tf.sub(parameter, tf.mul(gradient, learning_rate)))),
  };
}

/**
 * Adam with running means m of the gradient and v of its square, both starting at zero:
 * p - lr (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + 1e-8).
 * Source: Kingma and Ba 2015, algorithm 1.
 */
export function createAdam(tf: Tf, parameters: ReadonlyMap<string, Variable>): Optimizer {
  const { beta1, beta2, epsilon } = ADAM;
  const moments = new Map<string, Variable>();
  for (const [name, parameter] of parameters) {
    for (const moment of ["m", "v"]) {
      const zeros = tf.zeros(parameter.shape);
      moments.set(`adam/${moment}/${name}`, tf.variable(zeros, false));
      zeros.dispose();
    }
  }
  const step: Optimizer["step"] = (name, parameter, gradient, learning_rate, t) =>
    tf.tidy(() => {
      const m = moments.get(`adam/m/${name}`)!;
      const v = moments.get(`adam/v/${name}`)!;
      m.assign(tf.add(tf.mul(m, beta1), tf.mul(gradient, 1 - beta1)));
      v.assign(tf.add(tf.mul(v, beta2), tf.mul(tf.square(gradient), 1 - beta2)));
      const mean = tf.div(m, 1 - power(beta1, t));
      const deviation = tf.sqrt(tf.div(v, 1 - power(beta2, t)));
      const change = tf.div(mean, tf.add(deviation, epsilon));
      parameter.assign(tf.sub(parameter, tf.mul(change, learning_rate)));
    });
  return { moments, step };
}
