import { test } from "node:test";
import type { Hparams } from "../../dist/src/model/hparams.js";
import { parameterShapes } from "../../dist/src/model/parameters.js";
import type { Trainer, TrainerOptions } from "../../dist/src/model/trainer.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";
import { MICRO, withSource } from "./models.js";
import { EXPECTED, type Rows, readAll } from "./training.js";

/** float32 against float64, relative to the largest value of a gradient. */
export const TOLERANCE = 2e-5;
export const { rows: ROWS } = EXPECTED.micro;
export const OTHER_ROWS: Rows = ROWS.map((row) => row.slice(3, 12).reverse());

/** Options of the tests of LoRA. */
export const LORA: TrainerOptions = { lora_rank: 4, seed: 3 };

export type CreateTrainer = (
  hparams: Hparams,
  source: WeightSource,
  options: TrainerOptions,
) => Promise<Trainer>;

/** What the tests depend on. */
export interface TrainerTraits {
  /** Whether the same calls give the same bits, as they do everywhere but on a GPU. */
  readonly isExact?: boolean;
  /** Whether long trainings are cut short. */
  readonly isSlow?: boolean;
}

/** Makes the trainers that a test looks at. */
export class TrainerTests {
  constructor(
    private readonly name: string,
    private readonly create: CreateTrainer,
    private readonly traits: TrainerTraits,
  ) {}

  get isExact(): boolean {
    return this.traits.isExact ?? true;
  }

  get isSlow(): boolean {
    return this.traits.isSlow ?? false;
  }

  test(title: string, run: () => Promise<void>): void {
    test(`${this.name}: ${title}`, run);
  }

  /** A trainer of some model for the length of a call. */
  async using<T>(
    [hparams, source]: readonly [Hparams, WeightSource],
    options: TrainerOptions,
    use: (trainer: Trainer) => Promise<T>,
  ): Promise<T> {
    const trainer = await this.create(hparams, source, options);
    try {
      return await use(trainer);
    } finally {
      await trainer.dispose();
    }
  }

  /** A trainer of micro. */
  micro<T>(options: TrainerOptions, use: (trainer: Trainer) => Promise<T>): Promise<T> {
    return withSource(MICRO, (hparams, source) => this.using([hparams, source], options, use));
  }
}

/** The parameters of micro, from its files. */
export const microWeights = (): Promise<Map<string, Float32Array>> =>
  withSource(MICRO, async (hparams, source) => {
    const all = await readAll(source);
    return new Map([...parameterShapes(hparams).keys()].map((key) => [key, all.get(key)!]));
  });

/** Some steps on different batches. */
export async function train(trainer: Trainer, n_updates: number): Promise<number[]> {
  const losses: number[] = [];
  for (let i = 0; i < n_updates; i++) {
    losses.push(await trainer.accumulate(i % 2 ? ROWS : OTHER_ROWS));
    await trainer.update(1e-2);
  }
  return losses;
}
