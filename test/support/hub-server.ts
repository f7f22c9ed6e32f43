import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { FileServer } from "./file-server.js";
import { ROOT } from "./spawn.js";

export const COMMIT = "2290a62682d06624634c1f46a6ad5be0f47f38aa";
export const SAFETENSORS = "model.safetensors";

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** The files of a small GPT-2 as transformers writes it. */
export function huggingFaceFiles(): Map<string, Buffer> {
  const folder = join(ROOT, "test/fixtures/huggingface/f32");
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
}

/** What a hub says of one repository. */
export interface Repository {
  readonly name: string;
  readonly files: ReadonlyMap<string, Buffer>;
  readonly revision?: string;
  readonly commit?: string;
  /** Its large files are on this host, to which the hub sends those who ask for them. */
  readonly storage?: FileServer;
}

/** Makes a server a hub with this repository: a list of the files with what is known of each, and the files. */
export function serveRepository(server: FileServer, repository: Repository): void {
  const { name, files, revision = "main", commit = COMMIT, storage } = repository;
  const siblings = [...files].map(([rfilename, body]) => {
    const isLarge = /\.(safetensors|bin|h5)$/.test(rfilename);
    const blob = { rfilename, size: body.length, blobId: "0".repeat(40) };
    return isLarge ? { ...blob, lfs: { sha256: sha256(body), size: body.length, pointerSize: 134 } } : blob;
  });
  const list = { id: name, sha: commit, private: false, gated: false, siblings };
  server.files.set(`/api/models/${name}/revision/${revision}`, { body: Buffer.from(JSON.stringify(list)) });
  for (const [file, body] of files) {
    const path = `/${name}/resolve/${commit}/${file}`;
    const served = { body, etag: `"${sha256(body).slice(0, 12)}"` };
    if (storage && /\.(safetensors|bin)$/.test(file)) {
      storage.files.set(`/blobs/${file}`, served);
      server.fault(path, { kind: "redirect", to: `${storage.url}/blobs/${file}?signature=s3cret` }, 99);
    }
    server.files.set(path, served);
  }
}

/** Where a file of the repository is asked for. */
export const resolvePath = (name: string, file: string, commit = COMMIT): string =>
  `/${name}/resolve/${commit}/${file}`;
