import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Threads that this process may keep busy: the machine's cores within the container's limit. */
export function defaultThreads(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(cpuQuota() ?? Number.POSITIVE_INFINITY)));
}

/**
 * How many processors' time Linux control groups allow this process: the tightest limit of its groups.
 * Source: Linux Documentation/admin-guide/cgroup-v2.rst (cpu.max), scheduler/sched-bwc.rst (version 1).
 * @param root where to look for the files, "" for the machine itself
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
