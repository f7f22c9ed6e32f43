import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** What the server does instead of sending the file as it should. */
export type Fault =
  | { kind: "cut"; after: number } // closes the connection after this many bytes of the body: see received()
  | { kind: "drop"; after: number } // the same, whatever has arrived of them
  | { kind: "slow"; piece: number; pause: number } // pieces of this many bytes, with pauses in milliseconds
  | { kind: "stall"; after: number } // goes silent after this many bytes; -1: sends not even headers
  | { kind: "reset" } // resets the connection before any answer
  | { kind: "status"; status: number; headers?: Record<string, string>; body?: string }
  | { kind: "ignore-range" }
  | { kind: "ignore-if-range" }
  | { kind: "gzip" }
  | { kind: "chunked"; body: Buffer; close?: boolean } // no Content-Length; close: the connection's end ends it
  | { kind: "redirect"; to: string }
  | { kind: "headers"; headers: Record<string, string> };

export interface ServedFile {
  body: Buffer;
  etag?: string;
  lastModified?: string;
}

export interface LogEntry {
  path: string;
  range?: string;
  ifRange?: string;
  status: number;
  acceptEncoding?: string;
  authorization?: string;
}

/** A certificate for localhost and 127.0.0.1 that signs itself, and its key: made for these tests alone. */
export const CERTIFICATE = fileURLToPath(new URL("../fixtures/tls/cert.pem", import.meta.url));
const KEY = fileURLToPath(new URL("../fixtures/tls/key.pem", import.meta.url));

/** A loopback HTTP server with ranges, entity tags and faults. */
export class FileServer {
  readonly files = new Map<string, ServedFile>();
  readonly log: LogEntry[] = [];
  private readonly faults = new Map<string, { fault: Fault; times: number }[]>();
  private cuts: { path: string; at: number; cut: () => void }[] = [];

  private constructor(private readonly server: Server) {
    server.on("request", (request, response) => this.answer(request, response));
  }

  static async start(port = 0, scheme: "http" | "https" = "http"): Promise<FileServer> {
    const secure = (): Server =>
      createSecureServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) });
    const server = new FileServer(scheme === "https" ? secure() : createServer());
    await new Promise<void>((resolve) => server.server.listen(port, "127.0.0.1", resolve));
    server.url = `${scheme}://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
    return server;
  }

  /** Its address; stays after stop(). */
  url = "";

  /** The next requests for this path, or all of them, get the fault. Several queue up. */
  fault(path: string, fault: Fault, times = 1): void {
    this.faults.set(path, [...(this.faults.get(path) ?? []), { fault, times }]);
  }

  /** Every connection is cut, whatever has arrived. */
  dropConnections(): void {
    this.server.closeAllConnections();
  }

  /** Cancels the faults queued for this path. */
  mend(path: string): void {
    this.faults.delete(path);
  }

  /**
   * Told by the client how many bytes of a file it has. Only then is a connection cut: bytes that arrive
   * together with its end are dropped by fetch, and a test could not say how many.
   */
  received(file: string, bytes: number): void {
    for (const pending of this.cuts) {
      if (pending.path.endsWith(`/${file}`) && bytes >= pending.at) pending.cut();
    }
    this.cuts = this.cuts.filter(({ path, at }) => !path.endsWith(`/${file}`) || bytes < at);
  }

  clear(): void {
    this.faults.clear();
    this.cuts = [];
    this.log.length = 0;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private nextFault(path: string): Fault | undefined {
    const queue = this.faults.get(path) ?? [];
    while (queue.length > 0 && queue[0].times === 0) queue.shift();
    if (queue.length === 0) return undefined;
    queue[0].times--;
    return queue[0].fault;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname);
    const { range, "if-range": ifRange, "accept-encoding": acceptEncoding } = request.headers;
    const entry: LogEntry = { path, range, ifRange: ifRange as string | undefined, status: 0 };
    entry.acceptEncoding = acceptEncoding as string | undefined;
    entry.authorization = request.headers.authorization;
    this.log.push(entry);
    const send = (status: number, headers: Record<string, string | number>, body: Buffer): void => {
      entry.status = status;
      response.writeHead(status, headers);
      response.end(body);
    };
    const fault = this.nextFault(path);
    const file = this.files.get(path);
    if (fault?.kind === "reset") {
      request.socket.resetAndDestroy();
      return;
    }
    if (fault?.kind === "status") {
      send(fault.status, { "content-type": "text/plain", ...fault.headers }, Buffer.from(fault.body ?? "no"));
      return;
    }
    if (fault?.kind === "redirect") {
      send(302, { location: fault.to }, Buffer.from("over there"));
      return;
    }
    if (fault?.kind === "stall" && fault.after < 0) return;
    if (!file) {
      send(404, { "content-type": "text/html" }, Buffer.from("<h1>not found</h1>"));
      return;
    }
    const headers: Record<string, string | number> = { "content-type": "application/octet-stream" };
    if (file.etag) headers["etag"] = file.etag;
    if (file.lastModified) headers["last-modified"] = file.lastModified;
    if (fault?.kind === "gzip") {
      send(200, { ...headers, "content-encoding": "gzip" }, gzipSync(file.body));
      return;
    }
    if (fault?.kind === "chunked") {
      entry.status = 200;
      if (fault.close) response.useChunkedEncodingByDefault = false;
      response.writeHead(200, fault.close ? { ...headers, connection: "close" } : headers);
      response.write(fault.body.subarray(0, 10));
      response.end(fault.body.subarray(10));
      return;
    }
    let [status, body] = [200, file.body];
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? Number.NaN);
    const fits =
      ifRange === undefined ||
      ifRange === file.etag ||
      ifRange === file.lastModified ||
      fault?.kind === "ignore-if-range";
    if (!Number.isNaN(from) && fits && fault?.kind !== "ignore-range") {
      if (from >= body.length) {
        send(416, { "content-range": `bytes */${body.length}` }, Buffer.from("no such range"));
        return;
      }
      headers["content-range"] = `bytes ${from}-${body.length - 1}/${body.length}`;
      [status, body] = [206, body.subarray(from)];
    }
    headers["content-length"] = body.length;
    if (fault?.kind === "headers") Object.assign(headers, fault.headers);
    entry.status = status;
    response.writeHead(status, headers);
    if (fault?.kind === "slow") {
      sendSlowly(response, body, fault);
      return;
    }
    if (fault?.kind === "drop") {
      response.flushHeaders();
      response.write(body.subarray(0, fault.after), () => request.socket.destroySoon());
      return;
    }
    if (fault?.kind === "cut" || fault?.kind === "stall") {
      response.write(body.subarray(0, fault.after), () => {
        if (fault.kind !== "cut") return;
        const cut = (): void => void request.socket.destroySoon();
        const start = file.body.length - body.length;
        if (fault.after === 0) cut();
        else this.cuts.push({ path, at: start + Math.min(fault.after, body.length), cut });
      });
      return;
    }
    response.end(body);
  }
}

/** Sends a body piece by piece, until its end or the connection's. */
function sendSlowly(
  response: ServerResponse,
  body: Buffer,
  { piece, pause }: { piece: number; pause: number },
): void {
  let sent = 0;
  const timer = setInterval(() => {
    response.write(body.subarray(sent, sent + piece));
    sent += piece;
    if (sent < body.length) return;
    clearInterval(timer);
    response.end();
  }, pause);
  response.on("close", () => clearInterval(timer));
}
