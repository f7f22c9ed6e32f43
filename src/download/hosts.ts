import { CATALOG, type Catalog, catalogEntry, listModels } from "../models/catalog.js";
import { option, UsageError } from "../system/errors.js";
import { showUrl } from "./http.js";

/**
 * The addresses of a model's folder, in the order to try them.
 * @param baseUrl the address above the models' folders; default: the catalog's hosts
 * @throws UsageError when the name is not in the catalog and there is no baseUrl, the name could leave its folder, or
 *   the baseUrl is not an http or https address
 */
export function sourcesOf(name: string, baseUrl: string | undefined, catalog: Catalog = CATALOG): URL[] {
  // First and last character: no "..", no hidden folders, no option-like names, no "name." (Windows drops the dot).
  if (!/^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_-])?$/.test(name)) {
    throw new UsageError(`${JSON.stringify(name)} is not a model name`, {
      next: "use letters, digits and . _ - only, beginning with a letter or digit",
    });
  }
  const known = catalogEntry(name, catalog);
  if (baseUrl !== undefined) {
    const base = parseBaseUrl(baseUrl);
    // A copy may use OpenAI's present folder name, or the old one.
    const folders = known ? new Set([known.remoteName, known.name, name]) : new Set([name]);
    return [...folders].map((folder) => below(base, folder));
  }
  if (!known) {
    throw new UsageError(`${name} is not one of OpenAI's models, which are ${listModels(catalog)}`, {
      next: `for a model of your own, say where it is with ${option("base_url")}`,
    });
  }
  return catalog.hosts.map((host) => below(parseBaseUrl(host), known.remoteName));
}

/** The address of a name below a folder's address; a query (such as a signature) is kept. */
export function below(folder: URL, name: string): URL {
  const url = new URL(folder);
  url.pathname = `${folder.pathname.replace(/\/+$/, "")}/${name}`;
  return url;
}

function parseBaseUrl(text: string): URL {
  const next = "give an address such as https://example.org/models";
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`${option("base_url", text)} is not a URL`, { next });
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new UsageError(`${option("base_url", text)} is neither https nor http`, { next });
  }
  if (url.username || url.password) {
    throw new UsageError(
      `${option("base_url", showUrl(url))} has a user name or password, which is not supported`,
      {
        next,
      },
    );
  }
  url.hash = "";
  return url;
}
