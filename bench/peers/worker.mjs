// One peer as compare.mjs sees it: a process that answers lines with lines of JSON.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { cpuSeconds } from "./machine.mjs";

export class Worker {
  /** @param command program and arguments */
  constructor(name, [program, ...args]) {
    this.name = name;
    this.rounds = [];
    this.child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.ended = new Promise((resolve) => {
      this.child.once("error", (error) => resolve(error.message));
      this.child.once("close", (code, signal) => resolve(`it ended (${signal ?? `exit ${code}`})`));
    });
    this.child.stdin.on("error", () => {}); // the peer has ended: `ended` tells
    this.answers = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line of JSON; other lines are a library's chatter. @throws Error when the process ends instead */
  async answer() {
    for (;;) {
      const { value, done } = await this.answers.next();
      if (done) throw new Error(`${this.name}: ${await this.ended}`);
      if (value.startsWith("{")) return JSON.parse(value);
    }
  }

  /** Waits until the model is loaded, and runs one round that is not counted. */
  async start() {
    this.title = (await this.answer()).ready;
    await this.round();
  }

  async round() {
    this.child.stdin.write("round\n");
    return this.answer();
  }

  cpuSeconds() {
    return cpuSeconds(this.child.pid) ?? 0;
  }

  /** Ends it; returns its peak memory in megabytes. */
  async finish() {
    this.child.stdin.end();
    const { peak_memory_megabytes } = await this.answer();
    await this.ended;
    return peak_memory_megabytes;
  }
}
