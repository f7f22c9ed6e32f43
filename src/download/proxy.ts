import type { Dispatcher } from "undici";
import { UserError } from "../system/errors.js";

/** A proxy named in the environment. */
export interface HttpProxy {
  /** Its address, without user name and password. */
  readonly url: URL;
  /** The header with the user name and password, if there are any. */
  readonly token: string | undefined;
  /** For messages: host, port, and the variable they come from, but never a password. */
  readonly shown: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A variable in lower case, which takes precedence, or upper case, with its name. Empty means no proxy. */
function read(env: Environment, name: string): { name: string; value: string } | undefined {
  for (const each of [name.toLowerCase(), name]) {
    const value = env[each]?.trim();
    if (value !== undefined) return value === "" ? undefined : { name: each, value };
  }
  return undefined;
}

/**
 * The proxy for an address, as curl reads the environment: https_proxy or http_proxy, else all_proxy; no_proxy lists the
 * exceptions (see isExcepted). Each may be in lower or upper case. (undici's EnvHttpProxyAgent ignores all_proxy, does
 * not say which variable it used, reads no_proxy more narrowly, and warns that it is experimental.)
 * @throws UserError when the variable is not a proxy's address; its value, which may hold a password, is not shown
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

/** Undoes %xx; a text with a literal % stays as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Whether no_proxy excepts an address. It lists names separated by commas or spaces; each means the host and all its
 * subdomains, with or without a leading dot or `*.`, and only one port if it ends in `:PORT`; `*` means everything.
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

/** Dispatchers by proxy address and login, so that connections are shared. */
const dispatchers = new Map<string, Dispatcher>();

/** The dispatcher that sends requests through the proxy, or directly. */
export async function dispatcherFor(proxy: HttpProxy | undefined): Promise<Dispatcher> {
  const key = proxy ? `${proxy.url.href} ${proxy.token}` : "";
  const known = dispatchers.get(key);
  if (known) return known;
  // Imported here, because it takes a tenth of a second and most commands send nothing.
  const { Agent, ProxyAgent } = await import("undici");
  const { url, token } = proxy ?? {};
  // Only https needs a tunnel, which many proxies allow to port 443 alone; http requests go to the proxy unchanged.
  const dispatcher = url ? new ProxyAgent({ uri: url.href, token, proxyTunnel: false }) : new Agent();
  dispatchers.set(key, dispatcher);
  return dispatcher;
}
