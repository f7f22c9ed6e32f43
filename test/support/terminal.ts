import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { BIN, type Outcome, type Running, start } from "./spawn.js";

/**
 * Runs its arguments on a pseudo-terminal of 80 columns: its own input is what is typed, its output what is shown.
 * Signals are handed on; at the end stderr tells whether the terminal shows again what is typed.
 */
const ON_A_TERMINAL = `
import fcntl, os, pty, select, signal, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, lambda number, _: os.kill(pid, number))
sources = [terminal, 0]
while True:
    ready, _, _ = select.select(sources, [], [])
    try:
        if terminal in ready:
            shown = os.read(terminal, 65536)
            if not shown: break
            os.write(1, shown)
    except OSError:
        break
    if 0 in ready:
        typed = os.read(0, 65536)
        if typed: os.write(terminal, typed)
        else: sources.remove(0)
os.write(2, b"echo on" if termios.tcgetattr(terminal)[3] & termios.ECHO else b"echo off")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

const HAS_PYTHON =
  spawnSync("python3", ["-c", "import pty, os; os.waitstatus_to_exitcode"], { stdio: "ignore" }).status === 0;
/** Why there is no terminal to test on; false where there is one. */
export const NO_TERMINAL = HAS_PYTHON
  ? false
  : "needs python3 (3.9 or newer) with its pty module for a pseudo-terminal";

export const CTRL_C = "\x03";
export const CTRL_D = "\x04";
/** Colours and other ways to draw a character; moving the cursor is another thing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it looks for
const COLOUR = /\x1b\[[\d;]*m/;

/** What a terminal shows, without the movements of its cursor. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with one
export const plain = (shown: string): string => shown.replace(/\x1b\[[\d;?]*[A-Za-z]/g, "");

/** gpt2 on a terminal. */
export class Terminal {
  private seen = 0;
  private readonly running: Running;

  /** @param launcher what runs gpt2, if not Node itself */
  constructor(
    args: readonly string[],
    options: { cwd?: string; env?: Record<string, string>; limit?: number } = {},
    launcher: readonly string[] = [],
  ) {
    const command = ["-c", ON_A_TERMINAL, ...launcher, process.execPath, BIN, ...args];
    const env = { TERM: "xterm-256color", NO_COLOR: "1", ...options.env };
    this.running = start("python3", command, { ...options, env, stdin: "open", limit: options.limit ?? 30 });
  }

  /** Waits until what was shown since the last call matches. */
  async shows(pattern: RegExp): Promise<string> {
    await this.running.until((shown) => pattern.test(plain(shown).slice(this.seen)));
    const shown = plain(this.running.stdout).slice(this.seen);
    this.seen += shown.length;
    return shown;
  }

  /** Waits until something becomes true as more is shown. */
  async becomes(holds: () => boolean): Promise<void> {
    await this.running.until(holds);
    this.seen = plain(this.raw).length;
  }

  /** Waits until nothing is shown for a while. */
  async isSilent(): Promise<void> {
    for (let length = -1; length !== this.raw.length; ) {
      length = this.raw.length;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /** All that was sent to the terminal. */
  get raw(): string {
    return this.running.stdout;
  }

  type(keys: string | Uint8Array): void {
    this.running.child.stdin?.write(keys);
  }

  /** Sends a signal to the program. */
  signal(name: NodeJS.Signals): void {
    this.running.child.kill(name);
  }

  /** The exit code. @param isPainted colours may come: they stay in what was shown */
  async ends(isPainted = false): Promise<Outcome> {
    const outcome = await this.running.ended;
    assert.doesNotMatch(outcome.stdout, /^ +at /m);
    if (isPainted) return outcome;
    assert.doesNotMatch(outcome.stdout, COLOUR);
    return { ...outcome, stdout: plain(outcome.stdout) };
  }
}
