import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BIN, type Outcome, type SpawnOptions, start } from "../../support/spawn.js";

const OWN = ["--user", "--map-root-user", "--mount"];

/** Why a test with a small disk cannot run here; false where it can. */
export const NO_DISK: string | false =
  process.platform === "linux" &&
  spawnSync("unshare", [...OWN, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]).status === 0 &&
  spawnSync("nsenter", ["--version"]).status === 0
    ? false
    : "needs unshare, nsenter and the right to mount a tmpfs";

/**
 * A disk of 1 MB that fills up: a tmpfs that only a process of ours and the programs started here see, and that goes
 * with that process, however the tests end.
 */
export class SmallDisk {
  private constructor(
    private readonly keeper: ChildProcess,
    /** Where it is for the programs. */
    readonly path: string,
  ) {}

  /** @param path a folder that is made */
  static async make(path: string): Promise<SmallDisk> {
    mkdirSync(path, { recursive: true });
    const script = 'mount -t tmpfs -o size=1m tmpfs "$0" && echo ready && exec cat';
    const keeper = spawn("unshare", [...OWN, "sh", "-c", script, path], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await new Promise<void>((resolve, reject) => {
      keeper.stdout.once("data", () => resolve());
      keeper.once("exit", () => reject(new Error("the small disk could not be made")));
    });
    return new SmallDisk(keeper, path);
  }

  /** A file of the disk as the tests see it. */
  at(...names: string[]): string {
    return join(`/proc/${this.keeper.pid}/root${this.path}`, ...names);
  }

  /** Fills it up except for this many bytes. */
  leave(bytes: number): void {
    this.clear();
    const { bavail, bsize } = statfsSync(this.at());
    writeFileSync(this.at("filler"), Buffer.alloc(Math.max(0, bavail * bsize - bytes)));
  }

  /** Frees the space again. */
  clear(): void {
    rmSync(this.at("filler"), { force: true });
  }

  /** Runs gpt2, which sees the disk, in its folder. */
  gpt2(args: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
    const enter = ["--target", String(this.keeper.pid), "--user", "--mount", "--preserve-credentials"];
    // A shell that goes there itself: the folder is another one outside.
    const line = ["sh", "-c", 'cd "$0" && exec "$@"', this.path, process.execPath, BIN, ...args];
    return start("nsenter", [...enter, ...line], options).ended;
  }

  end(): void {
    this.keeper.stdin?.end();
  }
}
