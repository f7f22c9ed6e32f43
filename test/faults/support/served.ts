import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { OPENAI_FILES } from "../../../dist/src/models/files.js";
import type { Fault, FileServer } from "../../support/file-server.js";
import { gpt2, MICRO, type Outcome, type Running, startGpt2, TEMPORARY } from "../../support/spawn.js";
import { assertPlainEnd, chance, contents, loading, sha256 } from "./folders.js";

export const DATA = "model.ckpt.data-00000-of-00001";

/** The micro model's files, with a graph of random bytes: nothing reads it, so it may change and still be a model. */
export function microFiles(metaBytes = 300_000, metaName = "graph"): Record<string, Buffer> {
  const files = Object.fromEntries(OPENAI_FILES.map((file) => [file, readFileSync(join(MICRO, file))]));
  const random = chance(metaName);
  files["model.ckpt.meta"] = Buffer.from(Uint8Array.from({ length: metaBytes }, () => random() * 256));
  return files;
}

/** A model on a server, and the program that downloads it. Folders and models are named as the test likes. */
export class Served {
  readonly dir = join(TEMPORARY, "models");

  constructor(
    readonly server: FileServer,
    readonly name: string,
    public files: Record<string, Buffer>,
  ) {
    this.serve(files);
  }

  get folder(): string {
    return join(this.dir, this.name);
  }

  serve(files: Record<string, Buffer>): void {
    this.files = files;
    for (const [file, body] of Object.entries(files)) {
      this.server.files.set(`/${this.name}/${file}`, { body, etag: `"${sha256(body).slice(0, 16)}"` });
    }
  }

  /** The next requests for a file, or all of them, meet with the fault. */
  fault(file: string, fault: Fault, times = 1): void {
    this.server.fault(`/${this.name}/${file}`, fault, times);
  }

  /** From now on there are no faults. */
  mend(): void {
    for (const file of OPENAI_FILES) this.server.mend(`/${this.name}/${file}`);
  }

  start(env: Record<string, string> = {}): Running {
    const args = ["download", this.name, "--models_dir", this.dir, "--base_url", this.server.url];
    return startGpt2(args, { env: { ...loading("quick-clock.mjs"), ...env } });
  }

  download(env: Record<string, string> = {}): Promise<Outcome> {
    return this.start(env).ended;
  }

  /** The folder holds these files with the server's bytes, the converted weights, and nothing else. */
  assertWhole(folder = this.folder): void {
    const wanted = Object.entries(this.files).map(([file, body]) => [file, sha256(body)]);
    assert.deepEqual(contents(folder), { ...Object.fromEntries(wanted), ...converted });
  }

  /** A download is right, or ended with one clear line; then a download without faults gives everything. */
  async assertEndsWell(outcome: Outcome): Promise<void> {
    assertPlainEnd(outcome);
    assert.equal(outcome.stdout, "");
    if (outcome.code === 0) return this.assertWhole();
    this.mend();
    const again = await this.download();
    assert.equal(again.code, 0, again.stderr);
    this.assertWhole();
  }
}

/** The converted weights' files of an undisturbed `gpt2 convert`. */
const converted: Record<string, string> = await (async () => {
  const out = join(TEMPORARY, "undisturbed");
  const outcome = await gpt2(["convert", MICRO, "--out", out]);
  assert.equal(outcome.code, 0, outcome.stderr);
  const files = Object.entries(contents(out)).filter(([name]) => /^model\.json$|^group/.test(name));
  assert.equal(files.length, 2);
  return Object.fromEntries(files);
})();
