// The machine and how busy it is: from node:os and, on Linux, /proc.
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";

const TICKS_PER_SECOND = 100; // USER_HZ, the same on every Linux

export function describeMachine() {
  return { cpu: cpus()[0].model, cores: availableParallelism(), node: process.version };
}

/** Load average of the last minute, and of the last five. */
export function load() {
  return loadavg()
    .slice(0, 2)
    .map((n) => Number(n.toFixed(2)));
}

/**
 * Seconds of CPU a process has used with all its threads; undefined without /proc.
 * @param withEnded children too that have ended, such as a program that measures the memory
 */
export function cpuSeconds(pid, withEnded = false) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from the third field on
    const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number);
    return (utime + stime + (withEnded ? cutime + cstime : 0)) / TICKS_PER_SECOND;
  } catch {
    return undefined;
  }
}

/** Seconds of CPU that everything on the machine has used, and that its host has given to others. */
export function machineSeconds() {
  try {
    const [user, nice, system, , , irq, softirq, steal] = readFileSync("/proc/stat", "utf8")
      .split("\n")[0]
      .match(/\d+/g)
      .map((ticks) => Number(ticks) / TICKS_PER_SECOND);
    return { busy: user + nice + system + irq + softirq, stolen: steal };
  } catch {
    return undefined;
  }
}
