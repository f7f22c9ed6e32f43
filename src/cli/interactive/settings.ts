import type { Command, Option } from "commander";
import type { Hparams } from "../../model/hparams.js";
import { randomSeed } from "../../random.js";
import { DRY_DEFAULTS } from "../../sampling/dry.js";
import { SAMPLING_NAMES } from "../../sampling/options.js";
import { UsageError } from "../../system/errors.js";
import { trueOrFalse } from "../options/parse.js";
import { checkBias, type GeneratingOptions } from "../options/sampling.js";
import { silenceNotes } from "../terminal/output.js";

/** The options that can change without loading anything, in the order shown. */
const CHANGEABLE = [...SAMPLING_NAMES, "format", "color", "quiet"] as const;
type Changeable = (typeof CHANGEABLE)[number];

/** A session's options: the command line's, until /set changes them. The seed has been chosen. */
export type SessionOptions = GeneratingOptions & { readonly seed: number };

/** The texts in a typed value: `"one" "two\n"` is two, and without quotes all of it is one. */
function texts(value: string): string[] {
  if (!value.startsWith('"')) return [value];
  const found: string[] = [];
  let rest = value;
  while (rest !== "") {
    const [whole, quoted] = /^("(?:[^"\\]|\\.)*")\s*/.exec(rest) ?? [];
    if (whole === undefined) throw new UsageError(`unterminated quote: ${rest}`);
    try {
      found.push(JSON.parse(quoted) as string);
    } catch {
      throw new UsageError(`${quoted} is not a JSON string`);
    }
    rest = rest.slice(whole.length);
  }
  return found;
}

/** How options that were not given are shown. */
const UNSET: Readonly<Partial<Record<Changeable, string>>> = {
  logprobs: "off",
  bad_words: "none",
  dry_breaker: DRY_DEFAULTS.dry_breaker.map((text) => JSON.stringify(text)).join(" "),
};

/** A session's options, and how they change. */
export class Settings {
  /** @param command parses the options, from the command line and from /set */
  constructor(
    private readonly command: Command,
    private readonly hparams: Hparams,
    private current: SessionOptions,
  ) {}

  get options(): SessionOptions {
    return this.current;
  }

  /**
   * Changes an option as the command line would; the value `default` restores the default.
   * @throws UsageError for an unknown name or a bad value; nothing then changes
   */
  set(typed: string, value: string): void {
    const name = this.find(typed);
    if (value === "") {
      throw new UsageError(`${name} is ${this.show(name)}`, { next: `/set ${name} VALUE changes it` });
    }
    const changed: SessionOptions = { ...this.current, [name]: this.read(name, value) };
    checkBias(changed.logit_bias, this.hparams.n_vocab);
    this.current = changed;
    if (name === "quiet") silenceNotes(changed.quiet === true);
  }

  /** An option's value, for people. */
  show(typed: string): string {
    const name = this.find(typed);
    const value = this.current[name];
    if (name === "length" && value === undefined) return "until the text ends or the context is full";
    if (name === "special") return value === undefined ? "as the model has it" : value ? "on" : "off";
    if (value === undefined) return UNSET[name] ?? "false";
    if (value instanceof Map) {
      return (
        [...value].map(([id, bias]) => `${id}=${bias === -Infinity ? "-inf" : bias}`).join(" ") || "none"
      );
    }
    if (Array.isArray(value)) return value.map((text) => JSON.stringify(text)).join(" ") || "none";
    return String(value);
  }

  /** Every option that can change, with its value. */
  list(): string[] {
    const width = Math.max(...CHANGEABLE.map((name) => name.length));
    return CHANGEABLE.map((name) => `${name.padEnd(width)}  ${this.show(name)}`);
  }

  private find(typed: string): Changeable {
    const wanted = typed.replace(/^--/, "").replaceAll("-", "_");
    const name = CHANGEABLE.find((each) => each === wanted);
    if (name !== undefined) return name;
    if (this.option(wanted)) {
      throw new UsageError(`${wanted} cannot change during a session`, {
        next: `/quit, then start with --${wanted}`,
      });
    }
    throw new UsageError(`there is no option ${JSON.stringify(typed)}`, {
      next: `there are ${CHANGEABLE.join(", ")}`,
    });
  }

  private option(name: string): Option | undefined {
    return this.command.options.find(({ long }) => long === `--${name}`);
  }

  private read(name: Changeable, value: string): unknown {
    const option = this.option(name);
    const initial: unknown = option?.defaultValue;
    if (value === "default") return name === "seed" ? randomSeed() : initial;
    if (!option?.parseArg) return trueOrFalse(name)(value);
    const parse = option.parseArg as (text: string, before: unknown) => unknown;
    // /set replaces all values of an option that may be repeated.
    const values =
      name === "stop" || name === "dry_breaker"
        ? texts(value)
        : name === "logit_bias"
          ? value.split(/\s+/)
          : [value];
    return values.reduce<unknown>((before, text) => parse(text, before), initial);
  }
}
