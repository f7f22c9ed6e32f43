import type { Command, Option } from "commander";
import { quote, UsageError, UserError } from "../../system/errors.js";
import { repeats } from "../options/parse.js";
import { type ConfigFile, readConfigFiles, type Section, type Setting, userConfigPath } from "./file.js";
import { displaces, holdsFor, isTextCommand, refusal } from "./rules.js";

/** Makes a program with the options of the named commands; without names, of all. */
export type Define = (names?: readonly string[]) => Promise<Command>;

/** The settings of one source. */
type Layer = readonly Setting[];

/** Finds an option by its name in files: `recompute` for --recompute and --no-recompute. */
export const optionNamed = (command: Command, name: string): Option | undefined =>
  command.options.find((option) => option.attributeName() === name && !option.negate);

/** The names of a command's options, as in files. */
const namesOf = (command: Command): string[] => [
  ...new Set(command.options.filter(({ negate }) => !negate).map((option) => option.attributeName())),
];

/** The environment variable that sets an option. */
export const variableOf = (name: string): string => `GPT2_${name.toUpperCase()}`;

/**
 * Sets a command's options that were not typed from the environment and files. The nearest source counts: the command
 * line, the environment, the preset, the file in the current folder, the user's file; within a file, the command's
 * section before the top level.
 * @param commands the names of all commands
 * @returns the settings in effect, by option name
 * @throws UsageError that names the file and line, or the variable, of a wrong name or value
 */
export async function applyConfig(
  command: Command,
  commands: readonly string[],
  define: Define,
): Promise<ReadonlyMap<string, Setting>> {
  const held = new Map<string, Setting>();
  if (command.options.length === 0) return held; // completion scripts, run at a shell's start, must not depend on it
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

/** A command's files, nearest first: the one in the current folder counts only for commands that write nothing. */
export async function configFilesFor(command: string, commands: readonly string[]): Promise<ConfigFile[]> {
  return readConfigFiles({ commands, withLocal: isTextCommand(command) });
}

/** The settings typed on the command line. */
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

/** Looks up option names, loading no more commands than needed. */
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

/** The environment's settings for a command; an empty variable is ignored. */
function environment(command: Command): Setting[] {
  return namesOf(command).flatMap((name) => {
    const text = process.env[variableOf(name)];
    if (!text || refusal(name, false) !== undefined) return [];
    return [{ name, texts: [text], where: `$${variableOf(name)}` }];
  });
}

/** @throws UsageError when the current folder's file, which may be anybody's, is about a command that writes or fetches */
function checkSections({ commands }: ConfigFile): void {
  for (const [name, { where }] of commands) {
    if (isTextCommand(name)) continue;
    throw new UsageError(`${where}: ${name} cannot be set by a file in the current folder`, {
      next: `put it into ${userConfigPath()}`,
    });
  }
}

/** @throws UsageError when this source may not set this option */
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
  // Windows would log in to the machine that such a path names.
  if (isLocal && texts.some((text) => /^[\\/]{2}/.test(text)) && /name|dir/.test(name)) {
    throw new UsageError(`${where}: ${name} must not be on another machine, as ${quote(texts[0])} is`);
  }
}

/** The chosen preset; undefined for none. @throws UsageError when no preset has that name */
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

/** Sets an option as if its value had been typed. @throws UsageError that says where a wrong value is */
function setOption(command: Command, setting: Setting): void {
  command.setOptionValueWithSource(setting.name, parseSetting(command, setting), setting.where);
}

/** The sources that commander itself names: what was typed, or nothing. */
const OWN_SOURCES: readonly (string | undefined)[] = [undefined, "cli", "default"];

/**
 * An error of a command: one that begins with an option which a file or the environment set, or that contradicts one,
 * says where that was.
 */
export function withPlace(error: unknown, command: Command): unknown {
  if (!(error instanceof UsageError) || !error.reason.startsWith("--")) return error;
  const names = [...error.reason.matchAll(/--(\w+)/g)].map(([, name]) => name);
  const where = names
    .map((name) => command.getOptionValueSource(name))
    .find((source) => !OWN_SOURCES.includes(source));
  return where === undefined ? error : new UsageError(`${where}: ${error.reason}`, error);
}

/** Parses a setting as if it had been typed. @throws UsageError that says where a wrong value is */
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

/** The value of an option that takes none when typed. */
function flag(name: string, text: string): boolean {
  const word = text.toLowerCase();
  if (YES.includes(word)) return true;
  if (NO.includes(word)) return false;
  throw new UsageError(`${name} must be true or false, not ${quote(text)}`);
}
