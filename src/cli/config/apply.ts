import type { Command, Option } from "commander";
import { quote, UsageError, UserError } from "../../system/errors.js";
import { repeats } from "../options/parse.js";
import { type ConfigFile, readConfigFiles, type Section, type Setting, userConfigPath } from "./file.js";
import { displaces, holdsFor, isTextCommand, refusal } from "./rules.js";

/** Gives a program that has the options of some of its commands; without names, of all. */
export type Define = (names?: readonly string[]) => Promise<Command>;

/** Settings of one source. */
type Layer = readonly Setting[];

/** An option by its name in files: `recompute` for --recompute and --no-recompute. */
export const optionNamed = (command: Command, name: string): Option | undefined =>
  command.options.find((option) => option.attributeName() === name && !option.negate);

/** The names of a command's options as files have them. */
const namesOf = (command: Command): string[] => [
  ...new Set(command.options.filter(({ negate }) => !negate).map((option) => option.attributeName())),
];

/** The variable that gives an option a value. */
export const variableOf = (name: string): string => `GPT2_${name.toUpperCase()}`;

/**
 * Gives a command's options the values that files and the environment say, where none was typed. From the nearest:
 * the command line, the environment, the preset, the file in the current folder, the user's; in a file the command's
 * own section, then what stands at the top.
 * @param commands the names of all commands
 * @returns the settings that hold, by their options' names
 * @throws UsageError that names file and line, or the variable, of a name or a value that is wrong
 */
export async function applyConfig(
  command: Command,
  commands: readonly string[],
  define: Define,
): Promise<ReadonlyMap<string, Setting>> {
  const held = new Map<string, Setting>();
  if (command.options.length === 0) return held; // a script for the shell's start must not depend on it
  const layers = await layersFor(command, await configFilesFor(command.name(), commands), define);
  const nearer = typedSettings(command);
  for (const settings of layers) {
    const own = settings.filter(
      (setting) => !nearer.some((each) => displaces(each, setting, command.name())),
    );
    for (const setting of own) {
      setOption(command, setting);
      held.set(setting.name, setting);
    }
    nearer.push(...own);
  }
  return held;
}

/** The files that count for a command, the nearest first: that of the current folder only where nothing is written. */
export async function configFilesFor(command: string, commands: readonly string[]): Promise<ConfigFile[]> {
  return readConfigFiles({ commands, withLocal: isTextCommand(command) });
}

/** What was typed. */
function typedSettings(command: Command): Setting[] {
  return namesOf(command)
    .filter((name) => command.getOptionValueSource(name) === "cli")
    .map((name) => ({ name, texts: [String(command.getOptionValue(name))], where: "the command line" }));
}

/** The sources of a command's settings, the nearest first. */
async function layersFor(
  command: Command,
  files: readonly ConfigFile[],
  define: Define,
): Promise<readonly Layer[]> {
  const name = command.name();
  const own = new Set(namesOf(command));
  const known = new KnownNames(own, define);
  const ofTexts = isTextCommand(name) ? new Set<string>() : await known.ofTexts();
  const holds = (setting: Setting): boolean =>
    own.has(setting.name) && holdsFor(name, setting.name, () => ofTexts);
  const variables = environment(command).filter(holds);
  const layers: Layer[] = [];
  for (const file of files) {
    if (file.isLocal) checkSections(file);
    const section = file.commands.get(name)?.settings ?? [];
    for (const setting of section) checkSetting(setting, file.isLocal, own.has(setting.name), name);
    for (const setting of file.plain) {
      checkSetting(setting, file.isLocal, await known.has(setting.name));
    }
    layers.push(section, file.plain.filter(holds));
  }
  const preset = presetFor(command, [variables, ...layers], files);
  for (const setting of preset?.settings ?? [])
    checkSetting(setting, preset?.isLocal === true, await known.has(setting.name));
  return [variables, preset?.settings.filter(holds) ?? [], ...layers];
}

/** The names that options have, without loading more commands than the question takes. */
class KnownNames {
  private all: Promise<ReadonlySet<string>> | undefined;

  constructor(
    private readonly own: ReadonlySet<string>,
    private readonly define: Define,
  ) {}

  async has(name: string): Promise<boolean> {
    if (this.own.has(name)) return true;
    this.all ??= this.define().then(namesOfAll);
    return (await this.all).has(name);
  }

  async ofTexts(): Promise<ReadonlySet<string>> {
    const { commands } = await this.define([]);
    const names = commands.map((command) => command.name()).filter(isTextCommand);
    return namesOfAll(await this.define(names));
  }
}

const namesOfAll = (program: Command): ReadonlySet<string> => new Set(program.commands.flatMap(namesOf));

/** What the environment says of a command's options; an empty variable says nothing. */
function environment(command: Command): Setting[] {
  return namesOf(command).flatMap((name) => {
    const text = process.env[variableOf(name)];
    if (!text || refusal(name, false) !== undefined) return [];
    return [{ name, texts: [text], where: `$${variableOf(name)}` }];
  });
}

/** @throws UsageError where the file of a folder that may be anybody's is about a command that writes or fetches */
function checkSections({ commands }: ConfigFile): void {
  for (const [name, { where }] of commands) {
    if (isTextCommand(name)) continue;
    throw new UsageError(`${where}: ${name} cannot be set by a file in the current folder`, {
      next: `put it into ${userConfigPath()}`,
    });
  }
}

/** @throws UsageError where a file may not set this */
function checkSetting(
  { name, texts, where }: Setting,
  isLocal: boolean,
  isKnown: boolean,
  command?: string,
): void {
  if (!isKnown) {
    const whose = command === undefined ? "" : `gpt2 ${command} has `;
    throw new UsageError(`${where}: ${whose || "there is "}no option ${quote(name)}`, {
      next: `gpt2 ${command ?? "COMMAND"} --help lists ${command ? "them" : "a command's options"}`,
    });
  }
  const fault = refusal(name, isLocal);
  if (fault !== undefined) {
    const next = isLocal ? `type it, or put it into ${userConfigPath()}` : `type --${name}`;
    throw new UsageError(`${where}: ${name} ${fault}`, { next });
  }
  // Windows would log in to whatever machine such a path names.
  if (isLocal && texts.some((text) => /^[\\/]{2}/.test(text)) && /name|dir/.test(name)) {
    throw new UsageError(`${where}: ${name} must not be on another machine, as ${quote(texts[0])} is`);
  }
}

/** The preset that is asked for; undefined where none is. @throws UsageError where there is none of that name */
function presetFor(
  command: Command,
  layers: readonly Layer[],
  files: readonly ConfigFile[],
): (Section & { readonly isLocal: boolean }) | undefined {
  if (!optionNamed(command, "preset")) return undefined;
  const typed = command.getOptionValue("preset") as string | undefined;
  const setting = layers.flat().find(({ name }) => name === "preset");
  const name = typed ?? setting?.texts[0];
  if (name === undefined) return undefined;
  for (const { presets, isLocal } of files) {
    const preset = presets.get(name);
    if (preset) return { ...preset, isLocal };
  }
  const names = [...new Set(files.flatMap(({ presets }) => [...presets.keys()]))];
  throw new UsageError(
    `${typed === undefined ? `${setting?.where}: ` : ""}there is no preset ${quote(name)}`,
    {
      next:
        names.length > 0
          ? `there are ${names.join(", ")}`
          : `presets are written into ${userConfigPath()}, below "presets:"`,
    },
  );
}

/** Sets an option as if its value had been typed. @throws UsageError that says where a wrong value stands */
function setOption(command: Command, setting: Setting): void {
  command.setOptionValueWithSource(setting.name, parseSetting(command, setting), "config");
}

/** The value of an option as it is when it is typed. @throws UsageError that says where a wrong value stands */
export function parseSetting(command: Command, setting: Setting): unknown {
  const option = optionNamed(command, setting.name);
  if (!option) return undefined;
  try {
    return parseTexts(option, setting.texts);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UsageError(`${setting.where}: ${error.reason}`, { next: error.next });
  }
}

function parseTexts(option: Option, texts: readonly string[]): unknown {
  if (texts.length !== 1 && !repeats(option.parseArg))
    throw new UsageError(`${option.long} takes one value, not ${texts.length}`);
  if (option.isBoolean()) return flag(option.long ?? "", texts[0]);
  const { parseArg, defaultValue } = option;
  if (!parseArg) return texts[0];
  const parse = parseArg as (text: string, before: unknown) => unknown;
  return texts.reduce<unknown>((before, text) => parse(text, before), defaultValue);
}

const YES = ["true", "on", "yes", "1"];
const NO = ["false", "off", "no", "0"];

/** The value of an option that takes none on the command line. */
function flag(name: string, text: string): boolean {
  const word = text.toLowerCase();
  if (YES.includes(word)) return true;
  if (NO.includes(word)) return false;
  throw new UsageError(`${name} must be true or false, not ${quote(text)}`);
}
