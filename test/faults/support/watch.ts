import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { inProject } from "../../support/models.js";

/** What was seen while a piece of work ran. */
export interface Seen {
  /** Every path that was asked for, made absolute. */
  readonly paths: readonly string[];
  /** Bytes that typed arrays and buffers were asked to hold, all together. */
  readonly allocated: number;
  /** How much the process's largest size in memory has grown, in bytes. */
  readonly grown: number;
  /** Processor time in milliseconds; a busy machine does not lengthen it. */
  readonly milliseconds: number;
}

/** Functions of node:fs and node:fs/promises whose first argument is a path; those that have a second one. */
const ONE_PATH =
  "access appendFile chmod createReadStream createWriteStream exists lstat mkdir mkdtemp open openAsBlob opendir readFile readdir readlink realpath rm rmdir stat statfs truncate unlink utimes watch writeFile".split(
    " ",
  );
const TWO_PATHS = "copyFile cp link rename symlink".split(" ");

let isWatching = false;
let paths: string[] = [];
let allocated = 0;

type Anything = (...args: unknown[]) => unknown;

function note(path: unknown): void {
  if (!isWatching) return;
  if (typeof path === "string") paths.push(resolve(path));
  else if (path instanceof URL) paths.push(fileURLToPath(path));
  else if (Buffer.isBuffer(path)) paths.push(resolve(path.toString()));
}

function watchFiles(): void {
  for (const module of [fs, fs.promises] as unknown as Record<string, unknown>[]) {
    for (const name of [...ONE_PATH, ...TWO_PATHS].flatMap((each) => [each, `${each}Sync`])) {
      const original = module[name] as Anything | undefined;
      if (typeof original !== "function") continue;
      const count = TWO_PATHS.includes(name.replace(/Sync$/, "")) ? 2 : 1;
      const watched = function (this: unknown, ...args: unknown[]): unknown {
        for (const path of args.slice(0, count)) note(path);
        return original.apply(this, args);
      };
      module[name] = Object.assign(watched, original);
    }
  }
  syncBuiltinESMExports(); // what modules have imported by name follows
}

/** Counts what the global constructors are asked for; what Node makes inside is seen in the process's size. */
function watchMemory(): void {
  const globals = globalThis as unknown as Record<string, unknown>;
  const names = ["Uint8Array", "Uint16Array", "Uint32Array", "Int8Array", "Int16Array", "Int32Array"].concat([
    "Float32Array",
    "Float64Array",
    "BigUint64Array",
    "ArrayBuffer",
    "SharedArrayBuffer",
  ]);
  for (const name of names) {
    const original = globals[name] as (new (...args: unknown[]) => object) & { BYTES_PER_ELEMENT?: number };
    const proxy: unknown = new Proxy(original, {
      construct: (target, args: unknown[], newTarget) => {
        const [length] = args;
        if (typeof length === "number" && length > 0) allocated += length * (original.BYTES_PER_ELEMENT ?? 1);
        return Reflect.construct(target, args, newTarget === proxy ? target : newTarget) as object;
      },
    });
    globals[name] = proxy;
  }
  for (const name of ["alloc", "allocUnsafe", "allocUnsafeSlow"] as const) {
    const original = Buffer[name] as (size: number, ...rest: never[]) => Buffer;
    Buffer[name] = (size: number, ...rest: never[]) => {
      if (size > 0) allocated += size;
      return original.call(Buffer, size, ...rest) as ReturnType<typeof Buffer.alloc>;
    };
  }
}

/** From now on files and memory can be watched; once a process. */
export function install(): void {
  watchFiles();
  watchMemory();
}

/** Runs a piece of work and tells what it touched. */
export async function watch(work: () => Promise<void>): Promise<Seen> {
  paths = [];
  allocated = 0;
  const before = process.resourceUsage();
  isWatching = true;
  try {
    await work();
  } finally {
    isWatching = false;
  }
  const after = process.resourceUsage();
  const used = after.userCPUTime + after.systemCPUTime - before.userCPUTime - before.systemCPUTime;
  return { paths, allocated, grown: (after.maxRSS - before.maxRSS) * 1024, milliseconds: used / 1000 };
}

const PROGRAM = [inProject("dist"), inProject("node_modules"), fs.realpathSync(inProject("node_modules"))];
/** Where tsx, which compiles these tests, keeps what it compiled: tsx, tsx-0 ... */
const TSX = join(fs.realpathSync(tmpdir()), "tsx");

/** The first path that is neither in the folder nor a part of the program. */
export function strayPath({ paths: seen }: Seen, folder: string): string | undefined {
  return seen.find(
    (path) =>
      !path.startsWith(TSX) &&
      ![folder, ...PROGRAM].some((each) => path === each || path.startsWith(each + sep)),
  );
}
