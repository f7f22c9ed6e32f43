import { DRAWING } from "../../sampling/beam-faults.js";
import {
  BEAM_NAMES,
  SAMPLING_NAMES,
  SAMPLING_OPTIONS,
  type SamplingOption,
  type SamplingOptionName,
} from "../../sampling/options.js";

/** Commands that read or write texts with a model: what stands at the top of a file is meant for them. */
const TEXT_COMMANDS = ["interactive", "unconditional", "generate", "score", "evaluate", "tokenize", "serve"];
/** Options that mean the same for every command. */
const SHARED = ["models_dir", "backend", "precision", "threads", "gpu"];
/** What one call reads, writes or replaces: it is typed, and is nobody's default. */
const TYPED_ONLY = [
  ...["prefix", "prompt_file", "prompts", "file", "decode", "out", "html", "attention", "resume", "session"],
  ...["overwrite", "yes", "version", "help"],
];

/**
 * What a file in the current folder may set: a stranger may have written it, so nothing that names a place to write
 * to, starts a download, opens a port, or removes anything. Only for TEXT_COMMANDS.
 */
const LOCAL = [
  ...SAMPLING_NAMES,
  ...BEAM_NAMES,
  ...["model_name", "run_name", "checkpoint_dir", "backend", "precision", "threads", "gpu"],
  ...["format", "quiet", "turns", "include_prefix", "sample_delim", "truncate", "template", "stride"],
  ...["logprobs", "top", "color", "no_history"],
];

/** Options of which one says what the other would: the nearer source's counts. */
const ALTERNATIVES = [
  ["model_name", "run_name"],
  ["out", "resume", "folder", "out_dir", "nfiles"],
];

/** Whether a command is one of those that what stands at the top of a file is meant for. */
export const isTextCommand = (command: string): boolean => TEXT_COMMANDS.includes(command);

/**
 * Whether an option that no section names holds for a command.
 * @param ofTexts the options that the text commands have: a training's batch_size is something else
 */
export function holdsFor(command: string, name: string, ofTexts: () => ReadonlySet<string>): boolean {
  return isTextCommand(command) || SHARED.includes(name) || !ofTexts().has(name);
}

/** Why a source may not set an option, in words that follow its name; undefined where it may. */
export function refusal(name: string, isLocal: boolean): string | undefined {
  if (TYPED_ONLY.includes(name)) return "is for the command line alone";
  if (isLocal && !LOCAL.includes(name)) return "cannot be set by a file in the current folder";
  return undefined;
}

/** A name and value that a source gives. */
interface Given {
  readonly name: string;
  readonly texts: readonly string[];
}

const has = (names: readonly string[], { name }: Given): boolean => names.includes(name);

/** What shapes or counts draws, and so has no meaning for a beam search. */
const DRAWS: readonly SamplingOptionName[] = [...DRAWING, "nsamples"];

/** Whether the nearer source asks for a beam search and the farther shapes a draw, or the reverse: no call does both. */
function decidesBeams(nearer: Given, farther: Given): boolean {
  const [value] = nearer.texts.map(Number);
  if (nearer.name === "num_beams") return has(value > 1 ? DRAWS : BEAM_NAMES, farther);
  if (!has(DRAWS, nearer) || !has(BEAM_NAMES, farther)) return false;
  const { initial }: SamplingOption = SAMPLING_OPTIONS[nearer.name as SamplingOptionName];
  return value !== initial;
}

/** Whether what a nearer source gives takes the place of what a farther one does. */
export function displaces(nearer: Given, farther: Given, command: string): boolean {
  if (nearer.name === farther.name) return true;
  const names = [nearer.name, farther.name];
  if (names.includes("backend") && names.includes("gpu")) {
    // A GPU goes with its own backend alone; what asks for both is no contradiction.
    const backend = nearer.name === "backend" ? nearer : farther;
    return !backend.texts.some((text) => text.includes("webgpu"));
  }
  if (!isTextCommand(command)) return false;
  return (
    ALTERNATIVES.some((group) => has(group, nearer) && has(group, farther)) || decidesBeams(nearer, farther)
  );
}
