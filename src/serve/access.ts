import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { isIP, isIPv4 } from "node:net";
import { hostname } from "node:os";
import { ApiError } from "./api-error.js";

/** Who may send requests. */
export interface AccessOptions {
  /** The address that the server listens on, as given. */
  readonly host: string;
  /** The key that `Authorization: Bearer` must give; undefined: none is needed. */
  readonly api_key?: string;
  /** The origin of other pages that may send requests besides the server's own; "*" stands for every origin. */
  readonly cors?: string;
}

/** Whether a host's name or address is reachable only from this machine. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  if (isIP(name) > 0) return isIPv4(name) ? name.startsWith("127.") : name === "::1";
  return name === "localhost" || name.endsWith(".localhost");
}

/** The name or address in a Host header, without port and brackets; undefined if there is none. */
function nameOf(header = ""): string | undefined {
  const [, address, name] = /^(?:\[([\da-f:.]+)\]|([^:[\]/@\s]+))(?::\d{1,5})?$/i.exec(header) ?? [];
  return (address ?? name)?.toLowerCase();
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Decides which requests are answered. */
export class Access {
  readonly #options: AccessOptions;
  readonly #key: Buffer | undefined;

  constructor(options: AccessOptions) {
    this.#options = options;
    this.#key = options.api_key === undefined ? undefined : digest(options.api_key);
  }

  /**
   * Refuses what somebody else's web page sends through its reader's browser: requests for a host name that its owner
   * pointed here (DNS rebinding), and requests from other origins.
   * @throws ApiError
   */
  checkSender({ host, origin }: IncomingHttpHeaders): void {
    if (!this.#isOwnHost(host)) {
      throw new ApiError(403, `requests for the host ${host} are not answered without an API key`, {
        code: "unknown_host",
      });
    }
    if (origin !== undefined && !this.#isOwnOrigin(origin, host) && !this.#isAllowed(origin)) {
      throw new ApiError(
        403,
        `requests from pages of ${origin} are not answered: see gpt2 serve's CORS option`,
        {
          code: "unknown_origin",
        },
      );
    }
  }

  /** @throws ApiError when a key is needed and the request has another one or none */
  checkKey({ authorization = "" }: IncomingHttpHeaders): void {
    if (!this.#key) return;
    const [, key] = /^Bearer +(\S.*)$/i.exec(authorization) ?? [];
    // Digests have equal lengths, so that the time tells nothing about the key.
    if (key !== undefined && timingSafeEqual(digest(key), this.#key)) return;
    const message = key === undefined ? "an API key is needed: Authorization: Bearer KEY" : "wrong API key";
    throw new ApiError(401, message, { code: "invalid_api_key", headers: { "www-authenticate": "Bearer" } });
  }

  /** The headers that let an allowed page of another origin read the answer. */
  corsHeaders(origin: string | undefined): Record<string, string> {
    const { cors } = this.#options;
    if (cors === undefined) return {};
    const allowed = cors === "*" ? "*" : cors;
    if (origin === undefined || !this.#isAllowed(origin)) return { vary: "Origin" };
    return {
      "access-control-allow-origin": allowed,
      "access-control-allow-methods": "GET, POST, OPTIONS",
      "access-control-allow-headers": "*, Authorization",
      "access-control-max-age": "600",
      vary: "Origin",
    };
  }

  #isAllowed(origin: string): boolean {
    const { cors } = this.#options;
    return cors === "*" || origin === cors;
  }

  /** Whether an origin is this server's own page; behind a proxy the scheme may differ. */
  #isOwnOrigin(origin: string, host = ""): boolean {
    return URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
  }

  /** Whether a Host header is this server's; with a key any name is allowed, because other pages cannot know the key. */
  #isOwnHost(header: string | undefined): boolean {
    if (this.#key) return true;
    const name = nameOf(header);
    if (name === undefined) return false;
    const { host } = this.#options;
    if (isLoopback(name) || name === host.toLowerCase()) return true;
    if (isLoopback(host)) return false;
    return isIP(name) > 0 || name === hostname().toLowerCase();
  }
}
