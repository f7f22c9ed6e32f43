import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { messageOf, option, UserError } from "../../system/errors.js";
import { isInstalled } from "../../system/package.js";

/** The npm package that provides WebGPU in Node (Dawn, with its binaries), an optional peer. */
const WEBGPU_PACKAGE = "webgpu";
const INSTALL = `npm install ${WEBGPU_PACKAGE}`;

const NO_GPU = "WebGPU finds no GPU here";
const installDriver = (): string => `install its driver, or use ${option("backend", "auto")}`;

/** What the package exports. Options are Dawn's, e.g. "adapter=NAME". */
interface WebgpuPackage {
  create(options: string[]): GPU;
  /** GPUBufferUsage and the like, which are globals in a browser. */
  readonly globals: object;
}

/** A GPU found on this machine. */
export interface FoundGpu {
  /** The name that Dawn lists and `gpu` accepts, e.g. "NVIDIA H200". */
  readonly name: string;
  /** Whether it is software on the processor: SwiftShader, lavapipe, Windows' WARP. */
  readonly isSoftware: boolean;
  /** The driver and its version, in its own words. */
  readonly driver: string;
  readonly adapter: GPUAdapter;
  /** Dawn lives as long as this is referenced. */
  readonly gpu: GPU;
  readonly globals: object;
}

/** Whether the WebGPU package is installed, working or not. */
const isWebgpuInstalled = (): boolean => isInstalled(WEBGPU_PACKAGE);

/**
 * Whether Linux's loader finds libvulkan.so.1; true if that cannot be determined. Checked because Dawn prints two lines
 * when it is missing.
 */
function hasVulkanLoader(): boolean {
  if (process.platform !== "linux") return true;
  const library = "libvulkan.so.1";
  const folders = (process.env["LD_LIBRARY_PATH"] ?? "").split(":").filter(Boolean);
  if ([...folders, "/lib", "/usr/lib", "/usr/local/lib"].some((folder) => existsSync(`${folder}/${library}`)))
    return true;
  try {
    return readFileSync("/etc/ld.so.cache").includes(library);
  } catch {
    return true;
  }
}

/**
 * The files by which Vulkan's loader on Linux finds drivers; undefined elsewhere. Checked because Dawn prints three lines
 * when there are none.
 * Source: the Vulkan-Loader's docs/LoaderDriverInterface.md, "Driver Discovery".
 */
function vulkanDrivers({ env, platform } = process): string[] | undefined {
  if (platform !== "linux") return undefined;
  const list = (name: string, usual: string): string[] => (env[name] || usual).split(":").filter(Boolean);
  const given = list("VK_DRIVER_FILES", env["VK_ICD_FILENAMES"] ?? "");
  if (given.length > 0) return given;
  const parents = [
    ...list("XDG_CONFIG_HOME", join(homedir(), ".config")),
    ...list("XDG_CONFIG_DIRS", "/etc/xdg"),
    ...["/etc", "/usr/local/etc"],
    ...list("XDG_DATA_HOME", join(homedir(), ".local", "share")),
    ...list("XDG_DATA_DIRS", "/usr/local/share:/usr/share"),
  ];
  const found = parents.flatMap((parent) => {
    const folder = join(parent, "vulkan", "icd.d");
    try {
      return readdirSync(folder)
        .filter((name) => name.endsWith(".json"))
        .map((name) => join(folder, name));
    } catch {
      return []; // missing, or unreadable
    }
  });
  return [...list("VK_ADD_DRIVER_FILES", ""), ...found];
}

/** Files of software drivers: lavapipe's and SwiftShader's. */
const SOFTWARE_DRIVER = /\blvp_|lavapipe|swiftshader/;

/** Whether a GPU may be available: WebGPU is installed, and so is a driver that is not software. */
export function mayHaveGpu(): boolean {
  if (!isWebgpuInstalled()) return false;
  const drivers = vulkanDrivers();
  return drivers === undefined || drivers.some((path) => !SOFTWARE_DRIVER.test(basename(path)));
}

/** How software implementations describe themselves. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|\bwarp\b|software/i;

/**
 * Whether an adapter is software on the processor. isFallbackAdapter is not enough: not every driver sets it.
 */
export function isSoftwareAdapter(info: {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isFallbackAdapter?: boolean;
}): boolean {
  const words = [info.vendor, info.architecture, info.device, info.description].join(" ");
  return info.isFallbackAdapter === true || SOFTWARE.test(words);
}

/** The names in Dawn's list of adapters, which it gives only in the error for an unknown name. */
export function parseAdapterNames(message: string): string[] {
  const names = [...message.matchAll(/backend: '[^']*', name: '([^']*)'/g)].map(([, name]) => name);
  return [...new Set(names)];
}

async function loadPackage(): Promise<WebgpuPackage> {
  if (!isWebgpuInstalled()) throw new UserError("WebGPU is not installed", { next: INSTALL });
  if (!hasVulkanLoader()) {
    throw new UserError("WebGPU needs Vulkan, and libvulkan.so.1 is not installed", {
      next: "install libvulkan1 and the GPU's driver",
    });
  }
  if (vulkanDrivers()?.length === 0) throw new UserError(NO_GPU, { next: installDriver() });
  try {
    return (await import(WEBGPU_PACKAGE as string)) as WebgpuPackage;
  } catch (error) {
    throw new UserError(`the package ${WEBGPU_PACKAGE} cannot be loaded (${messageOf(error)})`, {
      next: INSTALL,
      cause: error,
    });
  }
}

/** The adapters' names, as Dawn lists them. */
async function listNames({ create }: WebgpuPackage): Promise<string[]> {
  try {
    await create(["adapter=?"]).requestAdapter();
  } catch (error) {
    return parseAdapterNames(error instanceof Error ? error.message : String(error));
  }
  return [];
}

/**
 * Finds the GPU to compute on.
 * @param wanted part of an adapter's name, in any case; default: the fastest real GPU
 * @throws UserError when WebGPU is not installed or finds no GPU, when no adapter has that name, or when there is only
 *   software and it was not named
 */
export async function findGpu(wanted?: string): Promise<FoundGpu> {
  const webgpu = await loadPackage();
  const names = await listNames(webgpu);
  const listed = names.map((name) => JSON.stringify(name)).join(", ");
  if (names.length === 0) {
    throw new UserError(NO_GPU, { next: installDriver() });
  }
  const named = wanted === undefined ? undefined : pick(names, wanted);
  if (wanted !== undefined && named === undefined) {
    throw new UserError(`no GPU is named ${JSON.stringify(wanted)}`, {
      next: `there ${be(names)} ${listed}`,
    });
  }
  const gpu = webgpu.create(named === undefined ? [] : [`adapter=${named}`]);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter)
    throw new UserError(`WebGPU cannot use ${named ?? listed}`, { next: "update the GPU's driver" });
  const { info } = adapter;
  const isSoftware = isSoftwareAdapter(info);
  if (isSoftware && wanted === undefined) {
    throw new UserError("WebGPU finds no GPU here, only software that emulates one", {
      next: `to use it all the same, name it with ${option("gpu")} (${listed})`,
    });
  }
  return {
    name: named ?? nameOf(names, info),
    isSoftware,
    driver: info.description || info.architecture || info.vendor,
    adapter,
    gpu,
    globals: webgpu.globals,
  };
}

const be = (names: readonly string[]): string => (names.length === 1 ? "is" : "are");

/** The name that was meant: an exact match, else the first that contains it. */
function pick(names: readonly string[], wanted: string): string | undefined {
  const lower = wanted.toLowerCase();
  return (
    names.find((name) => name.toLowerCase() === lower) ??
    names.find((name) => name.toLowerCase().includes(lower))
  );
}

/** The listed name that an adapter has, ignoring case and punctuation. */
function nameOf(names: readonly string[], { device, description }: GPUAdapterInfo): string {
  const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, "");
  const own = plain(device);
  return (
    (names.length === 1 ? names[0] : names.find((name) => plain(name) === own)) ??
    (device || description || "GPU")
  );
}
