import { existsSync } from "node:fs";
import type { LineCounter, Node, YAMLMap } from "yaml";
import { messageOf, quote, UsageError } from "../../system/errors.js";
import { readSmallFile } from "../../system/files.js";
import { userPath } from "../../system/paths.js";
import { decodeText } from "../../system/text-encoding.js";

/** A value for an option from outside the command line. */
export interface Setting {
  /** The option's name, with underscores: "top_k". */
  readonly name: string;
  /** As typed; several for an option that may be repeated, "true" or "false" for one without a value. */
  readonly texts: readonly string[];
  /** Where it comes from: "/home/me/.config/gpt2/config.yaml:3" or "$GPT2_TOP_K". */
  readonly where: string;
}

/** A file of defaults, with names and values unchecked: that needs the options' definitions. */
export interface ConfigFile {
  /** The path, as messages show it. */
  readonly path: string;
  /** Whether it is in the current folder, and so may be anybody's. */
  readonly isLocal: boolean;
  /** The top level: for every command that has the option. */
  readonly plain: readonly Setting[];
  /** Sections under a command's name. */
  readonly commands: ReadonlyMap<string, Section>;
  /** Sections under `presets`, by name. */
  readonly presets: ReadonlyMap<string, Section>;
}

/** The options under a name. */
export interface Section {
  readonly where: string;
  readonly settings: readonly Setting[];
}

/** The file in the current folder. */
export const LOCAL_FILE = ".gpt2.yaml";
const PRESETS = "presets";
const MAX_BYTES = 1_000_000;

/** The user's own file, such as ~/.config/gpt2/config.yaml. */
export function userConfigPath(): string {
  return userPath("config", "config.yaml");
}

/**
 * Reads the files of defaults that exist, nearest first; none if $GPT2_NO_CONFIG is set.
 * @param commands names that head sections
 * @param withLocal whether to read the current folder's
 * @throws UsageError that names the file and line of anything wrong
 */
export async function readConfigFiles({
  commands,
  withLocal,
}: {
  readonly commands: readonly string[];
  readonly withLocal: boolean;
}): Promise<ConfigFile[]> {
  if (process.env["GPT2_NO_CONFIG"]) return [];
  const files: ConfigFile[] = [];
  if (withLocal && existsSync(LOCAL_FILE)) files.push(await readConfigFile(LOCAL_FILE, true, commands));
  const path = userConfigPath();
  if (existsSync(path)) files.push(await readConfigFile(path, false, commands));
  return files;
}

async function readConfigFile(
  path: string,
  isLocal: boolean,
  commands: readonly string[],
): Promise<ConfigFile> {
  const text = decodeText(await readSmallFile(path, MAX_BYTES, "it must be a file of options"));
  const { LineCounter, parseDocument } = await import("yaml"); // loaded only if there is a file
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [fault] = document.errors;
  if (fault) throw new UsageError(`${whereOf(path, fault.pos[0], lines)}: ${messageOf(fault)}`);
  const reader = await SettingsReader.create(path, lines);
  const plain: Setting[] = [];
  const sections = new Map<string, Section>();
  const presets = new Map<string, Section>();
  for (const entry of reader.entries(document.contents, `${path}:1`)) {
    if (entry.key === PRESETS) {
      for (const each of reader.entries(entry.value, entry.where))
        presets.set(each.key, reader.section(each));
    } else if (commands.includes(entry.key)) sections.set(entry.key, reader.section(entry));
    else plain.push(reader.setting(entry));
  }
  return { path, isLocal, plain, commands: sections, presets };
}

const whereOf = (path: string, offset: number, lines: LineCounter): string =>
  `${path}:${lines.linePos(offset).line}`;

interface Entry {
  readonly key: string;
  readonly value: Node | null;
  readonly where: string;
}

/** Reads one file's settings. */
class SettingsReader {
  private constructor(
    private readonly yaml: typeof import("yaml"),
    private readonly path: string,
    private readonly lines: LineCounter,
  ) {}

  static async create(path: string, lines: LineCounter): Promise<SettingsReader> {
    return new SettingsReader(await import("yaml"), path, lines);
  }

  /** The names and values of a mapping, which may be empty. */
  entries(node: unknown, where: string): Entry[] {
    const { isMap, isScalar } = this.yaml;
    if (node === null || (isScalar(node) && node.value === null)) return [];
    if (!isMap(node)) throw new UsageError(`${where}: expected lines such as "top_k: 40"`);
    return (node as YAMLMap<unknown, Node | null>).items.map(({ key, value }) => {
      if (!isScalar(key)) throw new UsageError(`${where}: expected a name before the colon`);
      return {
        key: String(key.value).replaceAll("-", "_"),
        value,
        where: whereOf(this.path, key.range?.[0] ?? 0, this.lines),
      };
    });
  }

  section({ value, where }: Entry): Section {
    return { where, settings: this.entries(value, where).map((each) => this.setting(each)) };
  }

  setting({ key: name, value, where }: Entry): Setting {
    const { isSeq } = this.yaml;
    const values = isSeq(value) ? (value.items as Node[]) : [value];
    return { name, where, texts: values.map((each) => this.text(name, each, where)) };
  }

  /** A value as typed: `0.70` stays `0.70`. */
  private text(name: string, value: Node | null, where: string): string {
    const { isScalar, isMap } = this.yaml;
    if (isMap(value))
      throw new UsageError(`${where}: there is no command ${quote(name)}`, {
        next: "gpt2 --help lists the commands",
      });
    if (!isScalar(value)) throw new UsageError(`${where}: ${name} must be a value or a list of values`);
    if (value.value === null) throw new UsageError(`${where}: ${name} has no value`);
    return value.source ?? String(value.value);
  }
}
