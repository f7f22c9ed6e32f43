import type { Dispatcher } from "undici";
import { UserError } from "../system/errors.js";

/** A proxy that the environment names. */
export interface HttpProxy {
  /** Its address, without user name and password. */
  readonly url: URL;
  /** The header that carries user name and password, where there are any. */
  readonly token: string | undefined;
  /** For people: host and port, and the variable that names them. Never a password. */
  readonly shown: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A variable in lower case, which wins, or upper case; its name with it. Empty means: not this way. */
function read(env: Environment, name: string): { name: string; value: string } | undefined {
  for (const each of [name.toLowerCase(), name]) {
    const value = env[each]?.trim();
    if (value !== undefined) return value === "" ? undefined : { name: each, value };
  }
  return undefined;
}

/**
 * The proxy for an address, as curl reads the environment: https_proxy or http_proxy, else all_proxy; no_proxy
 * lists what goes without (see isExcepted). Each in lower or upper case.
 * @throws UserError when the variable holds no address of a proxy; its value, which may hold a password, is not told
 */
export function proxyFor(url: URL, env: Environment = process.env): HttpProxy | undefined {
  const variable =
    read(env, url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY") ?? read(env, "ALL_PROXY");
  if (!variable || isExcepted(url, read(env, "NO_PROXY")?.value ?? "")) return undefined;
  const { name, value } = variable;
  const text = value.includes("://") ? value : `http://${value}`;
  const proxy = URL.canParse(text) ? new URL(text) : undefined;
  if (!proxy || !["http:", "https:"].includes(proxy.protocol)) {
    const kind = proxy ? `names a proxy of the kind ${proxy.protocol.slice(0, -1)}` : "holds no address";
    throw new UserError(`${name} ${kind}`, {
      next: `write it as http://HOST:PORT, or set NO_PROXY to ${url.hostname}`,
    });
  }
  const { username, password } = proxy;
  const login = `${decode(username)}:${decode(password)}`;
  proxy.username = "";
  proxy.password = "";
  return {
    url: proxy,
    token: username || password ? `Basic ${Buffer.from(login).toString("base64")}` : undefined,
    shown: `${proxy.host} (from ${name})`,
  };
}

/** Undoes %xx; a text in which % stands for itself stays as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Whether no_proxy excepts an address. It lists names separated by commas or blanks; each means the host and all
 * below it, with or without a dot or `*.` before it, and only one port where it ends in `:PORT`; `*` means all.
 */
function isExcepted(url: URL, list: string): boolean {
  const bare = (host: string): string => host.replace(/^\[(.*)\]$/, "$1");
  const host = bare(url.hostname.toLowerCase());
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return list.split(/[\s,]+/).some((entry) => {
    const [, name, only] = /^(\[.*\]|[^:]*|.*:.*:.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
    if (!name || (only !== undefined && only !== port)) return false;
    const excepted = bare(name.replace(/^\*?\./, ""));
    return excepted === "*" || host === excepted || host.endsWith(`.${excepted}`);
  });
}

/** What sends requests, by the proxy's address and login: they share their connections. */
const dispatchers = new Map<string, Dispatcher>();

/** What sends a request: through the proxy, or straight. */
export async function dispatcherFor(proxy: HttpProxy | undefined): Promise<Dispatcher> {
  const key = proxy ? `${proxy.url.href} ${proxy.token}` : "";
  const known = dispatchers.get(key);
  if (known) return known;
  // Not imported above: it takes a tenth of a second, and most commands send nothing.
  const { Agent, ProxyAgent } = await import("undici");
  const { url, token } = proxy ?? {};
  // An http address is asked for as it is; only https needs a tunnel, which many proxies allow to port 443 alone.
  const dispatcher = url ? new ProxyAgent({ uri: url.href, token, proxyTunnel: false }) : new Agent();
  dispatchers.set(key, dispatcher);
  return dispatcher;
}
