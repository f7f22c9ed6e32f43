/** The part of WebAssembly's JavaScript interface that the engine uses; @types/node 20 lacks it. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: BufferSource);
  }
  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
    readonly buffer: SharedArrayBuffer;
    /** @returns the size before, in pages of 64 KiB */
    grow(pages: number): number;
  }
  type BufferSource = ArrayBufferView | ArrayBufferLike;
  function validate(bytes: BufferSource): boolean;
  function compile(bytes: BufferSource): Promise<Module>;
}

/** AssemblyScript's type, for assembly/abi.ts, which both compilers read. */
declare type u32 = number;
