import { sizeOf } from "../../../model/parameters.js";
import type { TensorInfo, WeightSource } from "../../../model/weight-source.js";
import type { Heap } from "../runtime/heap.js";

/** Tensors start at multiples of this many values: a cache line. */
const ALIGN = 16;

/** Where named tensors lie relative to the first: the same order for values, gradients and moments. */
export class Layout {
  private readonly offsets = new Map<string, number>();
  /** All values, including the gaps between tensors. */
  readonly length: number;

  constructor(readonly shapes: ReadonlyMap<string, readonly number[]>) {
    let length = 0;
    for (const [name, shape] of shapes) {
      this.offsets.set(name, length);
      length += Math.ceil(sizeOf(shape) / ALIGN) * ALIGN;
    }
    this.length = length;
  }

  /** Whether it has a tensor of this name. */
  has(name: string): boolean {
    return this.offsets.has(name);
  }

  /** Bytes from the first tensor to this one. */
  offset(name: string): number {
    const offset = this.offsets.get(name);
    if (offset === undefined) throw new RangeError(`no tensor ${name}`);
    return offset * 4;
  }

  /** Values of all tensors. */
  get size(): number {
    return [...this.shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
  }
}

/** A layout in memory. */
export class Tensors {
  constructor(
    private readonly heap: Heap,
    readonly layout: Layout,
    /** Address of the first tensor. */
    readonly at: number,
  ) {}

  /** @throws UserError when there is no memory for it */
  static allocate(heap: Heap, layout: Layout): Tensors {
    return new Tensors(heap, layout, heap.allocate(layout.length * 4));
  }

  /** The address of a tensor. */
  address(name: string): number {
    return this.at + this.layout.offset(name);
  }

  /** The values themselves; valid until the memory grows. */
  view(name: string): Float32Array {
    const shape = this.layout.shapes.get(name);
    if (!shape) throw new RangeError(`no tensor ${name}`);
    return new Float32Array(this.heap.memory.buffer, this.address(name), sizeOf(shape));
  }
}

/** A tensor that others may read: its name for them, and where it is. */
export type Readable = readonly [name: string, tensors: Tensors, inside: string];

/** Lets others read tensors as they are at that moment. */
export function sourceOf(path: string, readables: readonly Readable[]): WeightSource {
  const places = new Map(readables.map(([name, tensors, inside]) => [name, { tensors, inside }]));
  const infos = readables.map(([name, tensors, inside]): [string, TensorInfo] => [
    name,
    { shape: tensors.layout.shapes.get(inside)!, dtype: "float32" },
  ]);
  return {
    path,
    tensors: new Map(infos),
    read: async (name, target) => {
      const place = places.get(name);
      if (!place) throw new RangeError(`no tensor ${name} in ${path}`);
      const values = place.tensors.view(place.inside);
      if (target.length !== values.length)
        throw new RangeError(`${name} has ${values.length} values, not ${target.length}`);
      target.set(values);
    },
    close: async () => undefined,
  };
}
