import type { IncomingMessage, ServerResponse } from "node:http";
import { isIPv6 } from "node:net";
import { messageOf, option, UserError } from "../system/errors.js";
import { ApiError } from "./api-error.js";

/** How slow a client may be. */
export interface Patience {
  /** Milliseconds for a request's headers. */
  readonly head: number;
  /** Milliseconds for the whole request. */
  readonly request: number;
  /** Milliseconds without reading any of the answer. */
  readonly reading: number;
  /** Unread bytes of an answer. */
  readonly unread: number;
}

export const PATIENCE: Patience = { head: 10_000, request: 30_000, reading: 30_000, unread: 1 << 20 };
/** The most bytes in a request's body: more than 128 prompts of 1,024 ids. */
const BODY_BYTES = 1 << 20;

/** Reads a request's body. @throws ApiError when it is too large, or not JSON */
export function readJson(request: IncomingMessage): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const tooLarge = new ApiError(413, `the body is larger than ${BODY_BYTES >> 20} MiB`);
    if (Number(request.headers["content-length"] ?? 0) > BODY_BYTES) return reject(tooLarge);
    if ((request.headers["content-encoding"] ?? "identity") !== "identity") {
      return reject(new ApiError(415, "compressed bodies are not supported"));
    }
    const chunks: Buffer[] = [];
    let size = 0;
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      chunks.push(chunk);
      if (size <= BODY_BYTES) return;
      chunks.length = 0;
      request.off("data", take).resume(); // discards the rest
      reject(tooLarge);
    };
    request.on("data", take);
    request.once("error", reject).once("close", () => reject(new ApiError(400, "the request ended early")));
    request.once("end", () => {
      try {
        resolve(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks))));
      } catch (error) {
        reject(new ApiError(400, `the body is not JSON: ${messageOf(error)}`));
      }
    });
    return undefined;
  });
}

/** Drops a client that does not read its answer: one may be slow, but not stand still or fall far behind. */
export function watchReader(response: ServerResponse, { reading, unread }: Patience): void {
  let before = -1;
  const timer = setInterval(() => {
    const { socket } = response;
    const read = (socket?.bytesWritten ?? 0) - response.writableLength;
    if (response.writableLength > 0 && read === before) socket?.destroy();
    before = read;
  }, reading);
  timer.unref();
  const write = response.write.bind(response);
  response.write = ((chunk: string | Uint8Array) => {
    if (response.writableLength > unread) response.socket?.destroy();
    // As bytes: Node counts waiting strings in characters but written ones in bytes, and the two would never agree.
    return write(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }) as typeof response.write;
  response.once("close", () => clearInterval(timer));
}

/** Answers with a body as JSON. */
export function sendJson(response: ServerResponse, status: number, body: object, headers = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** The error when the server cannot listen. */
export function listenError(error: unknown, host: string, port: number): UserError {
  const { code } = error as NodeJS.ErrnoException;
  const where = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const reasons: Record<string, [string, string]> = {
    EADDRINUSE: [`${where} is in use`, `choose another ${option("port")}`],
    EACCES: [`${where} needs administrator rights`, `choose a ${option("port")} above 1023`],
    EADDRNOTAVAIL: [
      `${host} is not an address of this machine`,
      `use ${option("host", "0.0.0.0")} for all of them`,
    ],
    ENOTFOUND: [`host not found: ${host}`, `use an address of this machine`],
  };
  const [reason, next] = reasons[code ?? ""] ?? [`cannot listen at ${where}: ${messageOf(error)}`, undefined];
  return new UserError(reason, { next, cause: error });
}
