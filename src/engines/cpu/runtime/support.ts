import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";

/** What this machine's WebAssembly can do. */
export interface WasmSupport {
  /** 128-bit vectors: without them the engine does not run. */
  readonly simd: boolean;
  /** Shared memory and atomic operations: likewise. */
  readonly threads: boolean;
  /** Fused multiply-add, for fastMath. */
  readonly relaxedSimd: boolean;
}

/** A module with one function of type () -> v128 (or none), made of these instructions. */
function moduleOf(...code: number[]): Uint8Array {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const types = [1, 5, 1, 0x60, 0, 1, 0x7b]; // () -> v128
  const functions = [3, 2, 1, 0];
  return Uint8Array.from([
    ...header,
    ...types,
    ...functions,
    10,
    code.length + 4,
    1,
    code.length + 2,
    0,
    ...code,
    0x0b,
  ]);
}

/** Asks WebAssembly itself, by tiny modules. */
export function wasmSupport(): WasmSupport {
  if (typeof WebAssembly === "undefined") return { simd: false, threads: false, relaxedSimd: false };
  const zero = [0xfd, 0x0c, ...new Array<number>(16).fill(0)]; // v128.const 0
  // A memory section with one shared memory of 1 to 1 pages.
  const shared = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 4, 1, 3, 1, 1]);
  return {
    simd: WebAssembly.validate(moduleOf(...zero)),
    threads: typeof SharedArrayBuffer !== "undefined" && WebAssembly.validate(shared),
    // f32x4.relaxed_madd
    relaxedSimd: WebAssembly.validate(moduleOf(...zero, ...zero, ...zero, 0xfd, 0x85, 0x02)),
  };
}

/**
 * Whether relaxed SIMD can be had. Node 20 has it, but only when its V8 (11) is told to; later ones just have it.
 * To be called before a module is compiled.
 */
export function enableRelaxedSimd(): boolean {
  if (wasmSupport().relaxedSimd) return true;
  if (!process.versions.v8?.startsWith("11.")) return false;
  setFlagsFromString("--experimental-wasm-relaxed-simd");
  return wasmSupport().relaxedSimd;
}

/** Threads that this process may keep busy: the machine's cores within the container's limit. */
export function defaultThreads(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(cpuQuota() ?? Number.POSITIVE_INFINITY)));
}

/**
 * Processors' worth of time that Linux control groups allow this process, the tightest of its groups.
 * Source: Linux Documentation/admin-guide/cgroup-v2.rst (cpu.max), scheduler/sched-bwc.rst (version 1).
 * @param root where files are looked for, "" for the machine itself
 */
export function cpuQuota(root = ""): number | undefined {
  const quotas: number[] = [];
  for (const line of readLines(`${root}/proc/self/cgroup`)) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    const folders =
      controllers === ""
        ? ["/sys/fs/cgroup"]
        : controllers.split(",").includes("cpu")
          ? [`/sys/fs/cgroup/${controllers}`, "/sys/fs/cgroup/cpu"]
          : [];
    for (const folder of folders) {
      const parts = path.split("/").filter(Boolean);
      for (let depth = 0; depth <= parts.length; depth++) {
        const group = [root + folder, ...parts.slice(0, depth)].join("/");
        const [quota, period] =
          controllers === ""
            ? (readLines(`${group}/cpu.max`)[0] ?? "max").split(" ")
            : [readLines(`${group}/cpu.cfs_quota_us`)[0], readLines(`${group}/cpu.cfs_period_us`)[0]];
        const share = Number(quota) / Number(period);
        if (share > 0) quotas.push(share); // "max" and -1 mean no limit
      }
    }
  }
  return quotas.length > 0 ? Math.min(...quotas) : undefined;
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, "utf8").trimEnd().split("\n");
  } catch {
    return []; // not Linux, or not this version of control groups
  }
}
