/** Runs one target's mutations in a separate process: a crash or hang here harms nothing else. */
import { mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { Draw } from "./draw.js";
import { type Files, faultOfError, type Target } from "./target.js";
import { TARGETS } from "./targets/index.js";
import { install, strayPath, watch } from "./watch.js";

/** What a child is asked to do; arguments, as JSON. */
export interface Order {
  readonly target: string;
  readonly seed: number;
  /** Numbers of mutations: from, and the one after the last. */
  readonly from: number;
  readonly to: number;
  /** The child makes "model" and "outside" in it, and notes the number of each mutation in "round". */
  readonly folder: string;
  /** Reports the outcome of every mutation. */
  readonly verbose: boolean;
}

/** What a child tells. */
export type News =
  | { readonly failure: string; readonly round: number }
  | { readonly outcome: string; readonly round: number }
  | {
      readonly loaded: number;
      readonly refused: number;
      /** The patterns that no message matched. */
      readonly missed: readonly string[];
      readonly slowest: number;
      readonly largest: number;
    };

/** Mutations that use one base before the next one's turn. */
const TURN = 200;
const SLOW = 2000;
const MUCH = 256 << 20;

class Child {
  private current: Files = new Map();
  private readonly model: string;
  private readonly seen = { loaded: 0, refused: 0, slowest: 0, largest: 0 };
  private readonly missed: Set<RegExp>;

  constructor(
    private readonly order: Order,
    private readonly target: Target,
  ) {
    this.model = join(order.folder, "model");
    this.missed = new Set(target.reached);
  }

  async run(): Promise<void> {
    const { order } = this;
    const progress = openSync(join(order.folder, "round"), "w");
    for (let round = order.from; round < order.to; round++) {
      writeSync(progress, String(round).padStart(12), 0);
      const failure = await this.mutation(round).catch(
        (error: unknown) => `in the test itself: ${String(error)}`,
      );
      if (failure) tell({ failure, round });
    }
    tell({ ...this.seen, missed: [...this.missed].map(String) });
  }

  /** What went wrong, or undefined. */
  private async mutation(round: number): Promise<string | undefined> {
    const { order, target, model, seen } = this;
    const base = Math.floor(round / TURN) % target.bases.length;
    const changed = target.mutate(new Draw(order.seed, round), base);
    const files = new Map([...(target.bases[base] as Files), ...changed]);
    this.write(files);
    let error: unknown;
    const saw = await watch(async () => {
      await target.run(model, files).catch((thrown: unknown) => {
        error = thrown ?? new Error("nothing was thrown");
      });
    });
    seen.slowest = Math.max(seen.slowest, saw.milliseconds);
    seen.largest = Math.max(seen.largest, saw.allocated, saw.grown);
    const message = error instanceof Error ? error.message : "";
    for (const pattern of this.missed) if (pattern.test(message)) this.missed.delete(pattern);
    seen[error ? "refused" : "loaded"]++;
    if (order.verbose)
      tell({
        outcome: `${message || "it loads"}  (${JSON.stringify({ ...saw, paths: saw.paths.length })})`,
        round,
      });
    const stray = strayPath(saw, model);
    if (stray) return `outside the folder: ${JSON.stringify(stray)}`;
    if (saw.milliseconds > SLOW) return `it took ${saw.milliseconds} ms`;
    if (saw.allocated > MUCH) return `it asked for ${saw.allocated} bytes`;
    if (saw.grown > MUCH) return `it grew by ${saw.grown} bytes`;
    return error ? faultOfError(error, model) : undefined;
  }

  /** Makes the folder hold these files; the same names outside it hold the sound ones. */
  private write(files: Files): void {
    const { model, order } = this;
    for (const name of this.current.keys()) if (!files.has(name)) rmSync(join(model, name), { force: true });
    for (const [name, content] of files) {
      if (this.current.get(name) === content) continue;
      if (!this.current.has(name)) {
        for (const place of [model, join(order.folder, "outside")]) {
          mkdirSync(dirname(join(place, name)), { recursive: true });
          writeFileSync(join(place, name), content);
        }
      }
      // Some file systems write a file to the disk at once that is cut to nothing and filled again.
      rmSync(join(model, name), { force: true });
      writeFileSync(join(model, name), content);
    }
    this.current = files;
  }
}

function tell(news: News): void {
  process.send?.(news);
}

const order = JSON.parse(process.argv[2] ?? "{}") as Order;
const make = TARGETS[order.target];
if (!make) throw new Error(`no target ${order.target}`);
const target = await make(join(order.folder, "model"));
install();
await new Child(order, target).run();
process.disconnect?.();
