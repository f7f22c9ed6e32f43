import { messageOf, option, UserError } from "../../system/errors.js";
import type { FoundGpu } from "./adapter.js";

/** GPUBufferUsage, a global only in browsers. Source: W3C WebGPU, section 5.1.2. */
export const USAGE = {
  mapRead: 0x1,
  copyFrom: 0x4,
  copyTo: 0x8,
  uniform: 0x40,
  storage: 0x80,
} as const;
/** GPUMapMode.READ */
export const MAP_READ = 1;

/** A program and its bindings, run once in a pass. */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

/** What a device has done since it was opened. */
export interface DeviceCounts {
  dispatches: number;
  /** Bytes copied from buffer to buffer. */
  copied: number;
  /** Buffers that exist now, and their bytes. */
  buffers: number;
  bytes: number;
}

/** The limits that a device raises to its adapter's. */
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
] as const;

const gigabytes = (bytes: number): string =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`;

/** A GPU device that counts its work and buffers; errors make the next call fail instead of being printed. */
export class Device {
  readonly counts: DeviceCounts = { dispatches: 0, copied: 0, buffers: 0, bytes: 0 };
  private readonly sizes = new Map<GPUBuffer, number>();
  private failure: UserError | undefined;
  private isClosed = false;

  private constructor(
    readonly name: string,
    readonly isSoftware: boolean,
    readonly gpuDevice: GPUDevice,
    /** Dawn lives as long as this is referenced. */
    protected gpu: GPU | undefined,
  ) {
    gpuDevice.onuncapturederror = (event: GPUUncapturedErrorEvent) => {
      event.preventDefault(); // which would print it
      this.failure ??= new UserError(`the GPU ${name} refused its work (${event.error.message.trim()})`, {
        next: `use ${option("backend", "wasm")}`,
        cause: event.error,
      });
    };
    void gpuDevice.lost.then(({ message }) => {
      if (!this.isClosed) this.failure = lost(name, message);
    });
  }

  /** @throws UserError when the GPU provides no device */
  static async open({ name, isSoftware, adapter, gpu }: FoundGpu): Promise<Device> {
    const requiredLimits = Object.fromEntries(WANTED_LIMITS.map((limit) => [limit, adapter.limits[limit]]));
    try {
      return new Device(name, isSoftware, await adapter.requestDevice({ requiredLimits }), gpu);
    } catch (error) {
      throw new UserError(`WebGPU cannot use ${name} (${messageOf(error)})`, {
        next: "update the GPU's driver",
        cause: error,
      });
    }
  }

  /** What this device allows. */
  get limits(): GPUSupportedLimits {
    return this.gpuDevice.limits;
  }

  /** The most bytes of a buffer that a program can use. */
  get largestBuffer(): number {
    return Math.min(this.limits.maxBufferSize, this.limits.maxStorageBufferBindingSize);
  }

  /** @throws UserError when the GPU is gone or has refused something */
  check(): void {
    if (this.failure) throw this.failure;
  }

  /**
   * A buffer of zeros.
   * @param what it is for, in messages
   * @throws UserError when it is larger than this GPU allows
   */
  createBuffer(bytes: number, usage: number, what: string): GPUBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    if (size > this.largestBuffer) {
      throw new UserError(
        `${what} would take ${gigabytes(size)}, and a buffer of ${this.name} has at most ${gigabytes(this.largestBuffer)}`,
        { next: `use ${option("backend", "wasm")}` },
      );
    }
    const buffer = this.gpuDevice.createBuffer({ size, usage, label: what });
    this.sizes.set(buffer, size);
    this.counts.buffers++;
    this.counts.bytes += size;
    return buffer;
  }

  /** Frees a buffer; one that is not this device's is left alone. */
  destroyBuffer(buffer: GPUBuffer): void {
    const size = this.sizes.get(buffer);
    if (size === undefined) return;
    this.sizes.delete(buffer);
    this.counts.buffers--;
    this.counts.bytes -= size;
    buffer.destroy();
  }

  /**
   * Runs a function that makes buffers, and waits until the GPU has allocated them.
   * @throws UserError when there was not enough memory
   */
  async withMemory<T>(what: string, make: () => T): Promise<T> {
    this.gpuDevice.pushErrorScope("out-of-memory");
    let error: GPUError | null;
    let result: T;
    try {
      result = make();
    } finally {
      error = await this.gpuDevice.popErrorScope();
    }
    if (error) {
      throw new UserError(`${this.name} has no memory left for ${what}`, {
        next: `use a smaller ${option("batch_size")}, ${option("precision", "float16")} or ${option("backend", "wasm")}`,
      });
    }
    return result;
  }

  /** Records a copy of bytes from buffer to buffer. */
  copy(
    encoder: GPUCommandEncoder,
    from: GPUBuffer,
    fromOffset: number,
    to: GPUBuffer,
    toOffset: number,
    bytes: number,
  ): void {
    this.counts.copied += bytes;
    encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
  }

  /** Compiles a program, whose entry point is main(). @param code WGSL @param label for the GPU's messages */
  pipeline(code: string, label: string): GPUComputePipeline {
    const module = this.gpuDevice.createShaderModule({ code, label });
    return this.gpuDevice.createComputePipeline({
      layout: "auto",
      compute: { module, entryPoint: "main" },
      label,
    });
  }

  /** A program's buffers, in the order of its bindings 0, 1, ... */
  bind(pipeline: GPUComputePipeline, buffers: readonly GPUBuffer[]): GPUBindGroup {
    return this.gpuDevice.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }

  /** Waits until all submitted work is done. @throws UserError as check() */
  async finish(): Promise<void> {
    try {
      await this.gpuDevice.queue.onSubmittedWorkDone();
    } catch (error) {
      this.failure ??= lost(this.name, messageOf(error));
    }
    this.check();
  }

  /** Frees everything. Calling it again does nothing. */
  close(): void {
    this.isClosed = true;
    for (const buffer of [...this.sizes.keys()]) this.destroyBuffer(buffer);
    this.gpuDevice.destroy();
    this.gpu = undefined;
  }
}

const lost = (name: string, message: string): UserError =>
  new UserError(`the GPU ${name} was lost (${message.trim()})`, {
    next: `try again, or use ${option("backend", "wasm")}`,
  });
