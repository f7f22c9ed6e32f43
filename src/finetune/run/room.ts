import { statfs } from "node:fs/promises";
import { sizeOf } from "../../model/parameters.js";
import type { Trainer } from "../../model/trainer.js";
import type { WeightSource } from "../../model/weight-source.js";
import { option, UserError } from "../../system/errors.js";

const bytesOf = ({ tensors }: WeightSource): number =>
  [...tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;

/**
 * Compares the free space on the run's disk with the size of a save: weights, and the optimizer's state.
 * @param isFirst whether there is no save yet: the second is written while the first still exists
 * @returns lines that the user should know
 * @throws UserError when there is not even space for one save
 */
export async function checkRoom(
  folder: string,
  { weights, state }: Pick<Trainer, "weights" | "state">,
  isFirst: boolean,
): Promise<string[]> {
  const { bavail, bsize, blocks } = await statfs(folder).catch(() => ({ bavail: 0, bsize: 0, blocks: 0 }));
  if (blocks === 0) return []; // the system does not say
  const free = bavail * bsize;
  const save = bytesOf(weights) + bytesOf(state);
  if (free < save) {
    throw new UserError(
      `a save takes ${megabytes(save)} and the disk of ${folder} has ${megabytes(free)} free`,
      { next: `free some space, or name another disk with ${option("checkpoint_dir")}` },
    );
  }
  if (!isFirst || free >= 2 * save) return [];
  return [
    `a save takes ${megabytes(save)} and the disk has ${megabytes(free)} free: the second save will not fit while the first exists`,
  ];
}
