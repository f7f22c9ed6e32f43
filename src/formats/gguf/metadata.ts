import { isModelSize } from "../../model/hparams.js";
import { quote, UserError } from "../../system/errors.js";
import { FETCH_AGAIN, type GgufHead, type GgufValue } from "./gguf-file.js";

/** A file's metadata, read by name and type; a value of another type is refused by name. */
export class Metadata {
  constructor(private readonly head: Pick<GgufHead, "path" | "values">) {}

  /** @throws UserError when the value is not text */
  text(name: string): string | undefined {
    return this.#get(name, "a text", (value) => typeof value === "string");
  }

  /** @throws UserError when the value is not a number */
  number(name: string): number | undefined {
    return this.#get(name, "a number", (value) => typeof value === "number");
  }

  /** A size of the model. @throws UserError when the value is not a positive whole number */
  size(name: string): number | undefined {
    const value = this.head.values.get(name);
    const n = typeof value === "bigint" ? Number(value) : value;
    if (n === undefined) return undefined;
    if (isModelSize(n)) return n;
    throw this.#wrong(name, "a positive whole number");
  }

  /** A required size. @throws UserError when it is missing or not a positive whole number */
  neededSize(name: string): number {
    return this.size(name) ?? this.#missing(name);
  }

  /** @throws UserError when the value is not a token's id */
  id(name: string): number | undefined {
    return this.#get(name, "the id of a token", (value) => Number.isInteger(value) && (value as number) >= 0);
  }

  /** false where it is missing. @throws UserError when the value is not a boolean */
  flag(name: string): boolean {
    return this.#get<boolean>(name, "true or false", (value) => typeof value === "boolean") ?? false;
  }

  /** A required list. @throws UserError when it is missing or not a list of texts */
  neededTexts(name: string): readonly string[] {
    const isTexts = (value: GgufValue): boolean =>
      Array.isArray(value) && value.every((item) => typeof item === "string");
    return this.#get<readonly string[]>(name, "a list of texts", isTexts) ?? this.#missing(name);
  }

  /** @throws UserError when the value is not a list of numbers */
  numbers(name: string): readonly number[] | undefined {
    return this.#get(
      name,
      "a list of numbers",
      (value) => Array.isArray(value) && value.every((item) => typeof item === "number"),
    );
  }

  #get<T extends GgufValue>(name: string, what: string, isIt: (value: GgufValue) => boolean): T | undefined {
    const value = this.head.values.get(name);
    if (value === undefined || isIt(value)) return value as T | undefined;
    throw this.#wrong(name, what);
  }

  #wrong(name: string, what: string): UserError {
    const { path, values } = this.head;
    const value = values.get(name);
    const found = Array.isArray(value) ? "a list" : quote(typeof value === "bigint" ? `${value}` : value, 40);
    return new UserError(`${path}: ${name} must be ${what}, not ${found}`, { next: FETCH_AGAIN });
  }

  #missing(name: string): never {
    throw new UserError(`${this.head.path} has no ${name}`, { next: FETCH_AGAIN });
  }
}
