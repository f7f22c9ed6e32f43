import { resolve } from "node:path";
import { UsageError, UserError } from "../system/errors.js";
import { canonicalName, listModels } from "./catalog.js";
import { foreignModel, hubName } from "./foreign.js";
import { DEMO, DEMOS, expandPath, isPath, modelsDirs } from "./store.js";

/** The error for a model that findModelFolder() did not find: what is wrong with its name, or how to get it. */
export function missingModel(name: string, models_dir?: string): UserError {
  if (isPath(name)) {
    const foreign = foreignModel(resolve(expandPath(name)));
    const what = foreign ?? hubName(name);
    if (what !== undefined) return new UserError(`${name} ${what}`);
    return new UserError(
      `${name} is not a model folder: it needs hparams.json, and model.json or model.ckpt.index`,
    );
  }
  if (canonicalName(name) === undefined) {
    const [where] = modelsDirs(models_dir);
    return new UsageError(
      `unknown model ${JSON.stringify(name)}: it is not in ${where}; ${listModels()} can be downloaded, ${DEMOS.join(" and ")} come with the program`,
    );
  }
  return new UserError(
    `the model ${name} is not on this machine: fetch it with \`gpt2 download ${name}\`, or try the demo model with \`--model_name ${DEMO}\``,
  );
}
