import type { Command, Option } from "commander";
import { UsageError } from "../../system/errors.js";
import { applyConfig, type Define, variableOf } from "../config/apply.js";
import { LOCAL_FILE, readConfigFiles, type Section, type Setting, userConfigPath } from "../config/file.js";
import { addPreset } from "../options/engine.js";
import { formatOption } from "../options/parse.js";
import { Output } from "../terminal/output.js";

interface ConfigOptions {
  readonly preset?: string;
  readonly format: "text" | "jsonl";
}

/** A line of what is printed: an option, its value as it is typed, and where that stands. */
interface Row {
  readonly option: string;
  readonly value: string;
  readonly from: string;
}

const DEFAULT = "default";

const rowOf = ({ name, texts, where }: Setting, prefix = ""): Row => ({
  option: prefix + name,
  value: texts.map((text) => (/^[\w.\-/=~]+$/.test(text) ? text : JSON.stringify(text))).join(" "),
  from: where,
});

/** A command's option with what holds where nothing is typed. */
function heldRow(option: Option, setting: Setting | undefined): Row {
  if (setting) return rowOf(setting);
  const { defaultValue, defaultValueDescription, description } = option;
  const [, said = ""] = /\(default: (.*)\)$/s.exec(description) ?? [];
  const value = defaultValueDescription ?? (defaultValue === undefined ? said : String(defaultValue));
  return { option: option.attributeName(), value, from: DEFAULT };
}

/** Every option of a command: its value, and where that comes from. */
async function heldBy(
  name: string,
  names: readonly string[],
  { preset }: ConfigOptions,
  define: Define,
): Promise<Row[]> {
  const command = (await define([name])).commands.find((each) => each.name() === name)!;
  if (preset !== undefined) command.setOptionValueWithSource("preset", preset, "cli");
  const held = await applyConfig(command, names, define);
  return command.options
    .filter((option) => !option.negate && option.attributeName() !== "preset")
    .map((option) => heldRow(option, held.get(option.attributeName())));
}

const sectionRows = (sections: ReadonlyMap<string, Section>, kind: string): Row[] =>
  [...sections].flatMap(([name, { settings }]) => settings.map((each) => rowOf(each, `${kind}${name}: `)));

/** All that files and the environment set, the nearest first; every command's options are checked with it. */
async function allThatIsSet(names: readonly string[], define: Define): Promise<Row[]> {
  const program = await define();
  const variables = new Map<string, Row>();
  for (const command of program.commands) {
    for (const setting of (await applyConfig(command, names, define)).values())
      if (setting.where.startsWith("$")) variables.set(setting.name, rowOf(setting));
  }
  const files = await readConfigFiles({ commands: names, withLocal: true });
  const presets = new Set(files.flatMap((file) => [...file.presets.keys()]));
  for (const preset of presets) {
    for (const command of program.commands) {
      if (!command.options.some((option) => option.attributeName() === "preset")) continue;
      await heldBy(command.name(), names, { preset, format: "text" }, define);
    }
  }
  const inFiles = files.flatMap((file) => [
    ...file.plain.map((setting) => rowOf(setting)),
    ...sectionRows(file.commands, ""),
    ...sectionRows(file.presets, "preset "),
  ]);
  return [...variables.values(), ...inFiles];
}

function* asText(rows: readonly Row[]): Generator<string> {
  const width = (of: (row: Row) => string): number => Math.max(...rows.map((row) => of(row).length));
  const [option, value] = [
    width((row) => row.option),
    Math.min(
      40,
      width((row) => row.value),
    ),
  ];
  for (const row of rows) yield `${row.option.padEnd(option)}  ${row.value.padEnd(value)}  ${row.from}\n`;
}

/** `gpt2 config`: what the files of defaults and the environment say. */
export function addConfig(program: Command, _: (code: number) => void, define: Define): void {
  const command = program
    .command("config")
    .description(
      `Lists what ${LOCAL_FILE}, config.yaml and GPT2_ variables set, and checks all of it; with a command's name, each of its options, the value and where that comes from. docs/config.md describes the files.`,
    )
    .argument("[command]", "list every option of this command")
    .addOption(formatOption())
    .addHelpText("before", "Example: gpt2 config generate --preset careful\n");
  addPreset(command);
  command.action(async (name: string | undefined, options: ConfigOptions) => {
    const names = (await define([])).commands.map((each) => each.name());
    if (name !== undefined && !names.includes(name))
      throw new UsageError(`there is no command ${JSON.stringify(name)}`, { next: "gpt2 --help lists them" });
    if (name === undefined && options.preset !== undefined)
      throw new UsageError("--preset goes with a command's name", {
        next: "as in gpt2 config generate --preset NAME",
      });
    const rows =
      name === undefined ? await allThatIsSet(names, define) : await heldBy(name, names, options, define);
    const output = new Output();
    if (options.format === "jsonl") for (const row of rows) await output.write(`${JSON.stringify(row)}\n`);
    else if (rows.length > 0) for (const line of asText(rows)) await output.write(line);
    else {
      await output.write(
        `nothing is set: neither in ${LOCAL_FILE}, nor in ${userConfigPath()}, nor by variables such as $${variableOf("top_k")}\n`,
      );
    }
    await output.finish();
  });
}
