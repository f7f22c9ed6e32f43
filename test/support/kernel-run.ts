import { findGpu } from "../../dist/src/engines/webgpu/adapter.js";
import { Device, MAP_READ, USAGE } from "../../dist/src/engines/webgpu/device.js";
import { type Order, placeOf } from "../../dist/src/engines/webgpu/order.js";
import {
  PAGE,
  PANEL,
  PASS_HEAD,
  PASS_ROW,
  type Storage,
} from "../../dist/src/engines/webgpu/shaders/wgsl.js";
import { ANY_GPU } from "./webgpu.js";

export type Words = Float32Array | Uint32Array;

/** Runs one program of WGSL by itself. */
export class KernelRun {
  private constructor(readonly device: Device) {}

  static async open(): Promise<KernelRun> {
    return new KernelRun(await Device.open(await findGpu(ANY_GPU)));
  }

  /**
   * @param buffers what the program's bindings hold before
   * @returns what they hold afterwards
   */
  async run(code: string, buffers: readonly Words[], x: number, y: number): Promise<Float32Array[]> {
    const { device } = this;
    const { gpuDevice } = device;
    const usage = USAGE.uniform | USAGE.storage | USAGE.copyTo | USAGE.copyFrom;
    const own = buffers.map(({ byteLength }, i) => device.createBuffer(byteLength, usage, `binding ${i}`));
    for (const [i, { buffer, byteOffset, byteLength }] of buffers.entries())
      gpuDevice.queue.writeBuffer(own[i], 0, buffer, byteOffset, byteLength);
    const back = own.map(({ size }) => device.createBuffer(size, USAGE.mapRead | USAGE.copyTo, "read back"));
    const pipeline = device.pipeline(code, "a kernel");
    const encoder = gpuDevice.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.bind(pipeline, own));
    pass.dispatchWorkgroups(x, y);
    pass.end();
    for (const [i, buffer] of own.entries()) encoder.copyBufferToBuffer(buffer, 0, back[i], 0, buffer.size);
    gpuDevice.queue.submit([encoder.finish()]);
    await device.finish();
    const results: Float32Array[] = [];
    for (const [i, buffer] of back.entries()) {
      await buffer.mapAsync(MAP_READ);
      results.push(new Float32Array(buffer.getMappedRange().slice(0, buffers[i].byteLength)));
    }
    for (const buffer of [...own, ...back]) device.destroyBuffer(buffer);
    return results;
  }

  close(): void {
    this.device.close();
  }
}

/** A float16 number's bits; exact for the numbers that float16 holds, the smallest aside. */
function halfBits(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  const exponent = value === 0 ? 0 : ((bits >>> 23) & 255) - 112;
  return ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 1023);
}

/** Some columns of a matrix w [n_in, n_out] in panels. */
export function inPanels(
  w: Float32Array,
  { order, n_out, first, columns }: { order: Order; n_out: number; first: number; columns: number },
  storage: Storage,
): Words {
  const values = new Float32Array(Math.ceil(columns / PANEL) * PANEL * order.size);
  for (let column = 0; column < columns; column++) {
    for (let k = 0; k < order.n; k++) {
      const at = (Math.floor(column / PANEL) * order.size + placeOf(k, order)) * PANEL + (column % PANEL);
      values[at] = w[k * n_out + first + column];
    }
  }
  return storage === "float32" ? values : new Uint32Array(Uint16Array.from(values, halfBits).buffer);
}

/** One row of a pass. */
export interface PassRow {
  readonly id?: number;
  readonly position?: number;
  /** Its sequence's pages. */
  readonly pages?: readonly number[];
}

/** The description of a pass. @param wanted the rows whose logits are wanted */
export function aboutPass(rows: readonly PassRow[], wanted: readonly number[] = []): Uint32Array {
  const about = [rows.length, wanted.length, 0, 0];
  let table = PASS_HEAD + PASS_ROW * rows.length;
  for (const [i, { id = 0, position = 0, pages = [] }] of rows.entries()) {
    const at = PASS_HEAD + PASS_ROW * i;
    [about[at], about[at + 1], about[at + 2], about[at + 3]] = [id, position, table, wanted[i] ?? 0];
    for (const page of pages) about[table++] = page;
  }
  return Uint32Array.from(about, (word = 0) => word);
}

/** Where the cache keeps feature d of a head's key (which 0) or value (which 1) of a position. */
export function cachePlace(
  { n_head, d }: { n_head: number; d: number },
  { position, pages = [] }: PassRow,
  which: 0 | 1,
  head: number,
  feature: number,
): number {
  const d4 = Math.ceil(d / 4);
  const slot = (position ?? 0) % PAGE;
  const page = pages[Math.floor((position ?? 0) / PAGE)];
  const start = ((page * 2 + which) * n_head + head) * PAGE * d4 * 4;
  return which === 1
    ? start + slot * d4 * 4 + feature
    : start + (Math.floor(feature / 4) * PAGE + slot) * 4 + (feature % 4);
}
