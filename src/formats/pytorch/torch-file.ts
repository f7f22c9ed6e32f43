// Files that torch.save writes: pytorch_model.bin, ckpt.pt. Source: torch/serialization.py, torch/_utils.py.
import { type FileHandle, open, stat } from "node:fs/promises";
import { showShape, sizeOf } from "../../model/parameters.js";
import type { TensorInfo } from "../../model/weight-source.js";
import { shorten, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { refuseLfsPointer } from "../../system/lfs.js";
import { readRanges } from "../byte-ranges.js";
import { asFloat32, BFLOAT16, FLOAT16, FLOAT32, FLOAT64, type FloatType } from "../floats.js";
import type { TensorFile } from "../tensor-file.js";
import { type Callable, PickleError, type PickleWorld, Tuple, unpickle } from "./pickle.js";
import { readZip, ZipError } from "./zip.js";

/** The pickle of the largest GPT-2's state has 200 kB; a whole trainer's some more. */
const PICKLE_LIMIT = 64 << 20;
const RANK_LIMIT = 8;
/** How a file of torch before 1.6 begins: the pickle of its magic number. */
const LEGACY_MAGIC = Buffer.from("80028a0a6cfc9c46f9206aa85019", "hex");

/** A type of storage: its name in messages, bytes a value, and how it is read where it is read at all. */
interface StorageType {
  readonly dtype: string;
  readonly width: number;
  readonly float?: FloatType;
}

const STORAGE_TYPES: ReadonlyMap<string, StorageType> = new Map([
  ["torch FloatStorage", { dtype: "float32", width: 4, float: FLOAT32 }],
  ["torch HalfStorage", { dtype: "float16", width: 2, float: FLOAT16 }],
  ["torch BFloat16Storage", { dtype: "bfloat16", width: 2, float: BFLOAT16 }],
  ["torch DoubleStorage", { dtype: "float64", width: 8, float: FLOAT64 }],
  ["torch LongStorage", { dtype: "int64", width: 8 }],
  ["torch IntStorage", { dtype: "int32", width: 4 }],
  ["torch ShortStorage", { dtype: "int16", width: 2 }],
  ["torch CharStorage", { dtype: "int8", width: 1 }],
  ["torch ByteStorage", { dtype: "uint8", width: 1 }],
  ["torch BoolStorage", { dtype: "bool", width: 1 }],
]);

/** Memory that tensors share parts of, by the key under which the file has it. */
class Storage {
  /** Where its bytes begin in the file; of a legacy file known only when all is read. */
  place = -1;
  constructor(
    readonly key: string,
    readonly type: StorageType,
    readonly numel: number,
  ) {}
}

class Tensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly stride: readonly number[],
  ) {}
}

/** A tensor of a file of torch's. */
export interface TorchTensor extends TensorInfo {
  readonly tensor: Tensor;
}

/** A file of torch's that tensors can be read from; the format has no checksums of them. */
export interface TorchFile extends TensorFile {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** What the file has beside its tensors, e.g. nanoGPT's "model_args"; dictionaries are Maps. */
  readonly extra: ReadonlyMap<string, unknown>;
}

const fault = (path: string, reason: string, cause?: unknown): UserError =>
  new UserError(`cannot read ${path} as a file of PyTorch: ${reason}: fetch the file again`, { cause });

/**
 * Opens a file that torch.save wrote, as a zip archive or in the form of torch before 1.6. Only its list of tensors is
 * read; nothing that it says is run.
 * @throws UserError that names the file when it is missing, cut off, something else, or asks for code to be run
 */
export async function openTorchFile(path: string): Promise<TorchFile> {
  let file: FileHandle | undefined;
  try {
    const found = await stat(path); // before it is opened: a pipe would wait for a writer
    if (!found.isFile()) throw new UserError(`${path} is not a file: name the folder of a model`);
    file = await open(path, "r");
    const { size } = await file.stat();
    const head = Buffer.alloc(Math.min(size, LEGACY_MAGIC.length));
    await file.read(head, 0, head.length, 0);
    const root = head.equals(LEGACY_MAGIC) ? await readLegacy(file, size) : await readArchive(file, size);
    return torchFile(path, root);
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (error instanceof PickleError || error instanceof ZipError) {
      await refuseLfsPointer(path);
      throw fault(path, error.message, error);
    }
    throw fileError("read", path, error);
  } finally {
    await file?.close();
  }
}

/** The object that a zip archive holds, its storages placed. */
async function readArchive(file: FileHandle, size: number): Promise<unknown> {
  const entries = await readZip(file, size);
  const listed = [...entries.values()].find(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  if (!listed) throw new ZipError("it has no data.pkl, so it is another kind of archive");
  const folder = listed.name.slice(0, -"data.pkl".length);
  if (listed.length > PICKLE_LIMIT) throw new PickleError("its list of tensors is too large");
  const order = entries.get(`${folder}byteorder`);
  if (order && (await readBytes(file, order.offset, Math.min(order.length, 8))).toString() === "big") {
    throw new PickleError("its numbers are big-endian");
  }
  const world = new World();
  const { value } = unpickle(await readBytes(file, listed.offset, listed.length), 0, world);
  for (const storage of world.storages.values()) {
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (!entry || entry.length < storage.numel * storage.type.width) {
      throw new ZipError(`its storage ${shorten(storage.key, 20)} is missing or cut off`);
    }
    storage.place = entry.offset;
  }
  return value;
}

/** The object that a file of torch before 1.6 holds: five pickles, then the storages one after the other. */
async function readLegacy(file: FileHandle, size: number): Promise<unknown> {
  const bytes = await readBytes(file, 0, Math.min(size, PICKLE_LIMIT));
  const plain: PickleWorld = { global: () => undefined, persistent: () => undefined };
  let at = 0;
  for (let i = 0; i < 3; i++) at = unpickle(bytes, at, plain).end; // magic number, version, the writer's machine
  const world = new World();
  const object = unpickle(bytes, at, world);
  const keys = unpickle(bytes, object.end, plain);
  if (!Array.isArray(keys.value)) throw new PickleError("its list of storages is none");
  let place = keys.end;
  for (const key of keys.value) {
    const storage = world.storages.get(String(key));
    if (!storage) throw new PickleError("its list of storages is damaged");
    if (place + 8 > size) throw new PickleError("it is cut off");
    const numel = Number((await readBytes(file, place, 8)).readBigUInt64LE());
    if (numel !== storage.numel) throw new PickleError("its list of storages is damaged");
    storage.place = place + 8;
    place = storage.place + numel * storage.type.width;
    if (place > size) throw new PickleError("it is cut off");
  }
  if ([...world.storages.values()].some((storage) => storage.place < 0)) {
    throw new PickleError("its list of storages is damaged");
  }
  return object.value;
}

async function readBytes(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new PickleError("it is cut off");
    filled += bytesRead;
  }
  return bytes;
}

/** What a pickle of torch's may refer to: tensors, their storages, dictionaries; plain names where only types are. */
class World implements PickleWorld {
  readonly storages = new Map<string, Storage>();
  private readonly types = new Map<Callable, StorageType>();

  global(name: string): Callable | undefined {
    const type = STORAGE_TYPES.get(name);
    if (type) {
      const token: Callable = () => {
        throw new PickleError("it calls something that is no function");
      };
      this.types.set(token, type);
      return token;
    }
    return FUNCTIONS.get(name);
  }

  persistent(id: unknown): Storage {
    const [kind, token, key, , numel] = id instanceof Tuple ? id.items : [];
    const type = this.types.get(token as Callable);
    if (kind !== "storage" || !type || typeof key !== "string" || !isSize(numel)) {
      throw new PickleError("it refers to something that is no storage of numbers");
    }
    const storage = this.storages.get(key) ?? new Storage(key, type, numel);
    if (storage.type !== type || storage.numel !== numel) {
      throw new PickleError("it describes a storage in two ways");
    }
    this.storages.set(key, storage);
    return storage;
  }
}

/** The functions that a pickle of tensors calls. Types that only stand in tables can be named and not called. */
const FUNCTIONS: ReadonlyMap<string, Callable> = new Map([
  ["collections OrderedDict", () => new Map()],
  ["torch._utils _rebuild_tensor", rebuildTensor],
  ["torch._utils _rebuild_tensor_v2", rebuildTensor],
  ["torch._utils _rebuild_parameter", (data) => data],
  ["torch Size", (sizes) => sizes],
  ...["torch float32", "torch float16", "torch bfloat16", "torch float64", "torch device"].map(
    (name): [string, Callable] => [name, () => null],
  ),
]);

function rebuildTensor(storage: unknown, offset: unknown, size: unknown, stride: unknown): Tensor {
  const shape = size instanceof Tuple ? size.items : undefined;
  const steps = stride instanceof Tuple ? stride.items : undefined;
  if (!(storage instanceof Storage) || !isSize(offset) || !shape?.every(isSize) || !steps?.every(isSize)) {
    throw new PickleError("it has a tensor that is not described");
  }
  if (shape.length > RANK_LIMIT || shape.length !== steps.length) {
    throw new PickleError("it has a tensor without a valid shape");
  }
  const last = shape.includes(0) ? -1 : shape.reduce((sum, n, axis) => sum + (n - 1) * steps[axis], offset);
  if (last >= storage.numel || !Number.isSafeInteger(sizeOf(shape)) || sizeOf(shape) > 2 * storage.numel) {
    throw new PickleError(`it has a tensor of the shape ${showShape(shape)} outside its storage`);
  }
  return new Tensor(storage, offset, shape, steps);
}

/** Names under which programs keep a model's state beside other things. */
const STATES = ["model", "state_dict", "model_state_dict", "module"];

function torchFile(path: string, root: unknown): TorchFile {
  const state = stateOf(root);
  if (!state) throw fault(path, "it holds no dictionary of tensors");
  const tensors = new Map<string, TorchTensor>();
  for (const [name, value] of state) {
    if (typeof name !== "string" || !(value instanceof Tensor)) continue;
    tensors.set(name, { shape: value.shape, dtype: value.storage.type.dtype, tensor: value });
  }
  const find = (name: string): { tensor: Tensor; float: FloatType } => {
    const found = tensors.get(name);
    if (!found) throw new RangeError(`no tensor ${name} in ${path}`);
    const { float } = found.tensor.storage.type;
    if (float) return { tensor: found.tensor, float };
    throw new UserError(
      `${path}: ${shorten(name)} has the type ${found.dtype}, and only floating-point types are read: save the model in one of them`,
    );
  };
  return {
    path,
    tensors,
    extra: root instanceof Map && root !== state ? (root as Map<string, unknown>) : new Map(),
    read: async (name, target) => {
      const { tensor, float } = find(name);
      if (target.length > sizeOf(tensor.shape)) throw new RangeError(`${name} has fewer values`);
      await readValues(path, tensor, float, target);
    },
    scan: async (name, visit) => {
      const { tensor, float } = find(name);
      if (isContiguous(tensor)) {
        const range = bytesOf(path, tensor, sizeOf(tensor.shape));
        return readRanges([range], undefined, (chunk) => {
          const values = asFloat32(chunk, float);
          visit(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
        });
      }
      const values = new Float32Array(sizeOf(tensor.shape));
      await readValues(path, tensor, float, values);
      visit(new Uint8Array(values.buffer));
    },
  };
}

/** The dictionary of tensors: the object itself, or what it has under one of the usual names. */
function stateOf(root: unknown): ReadonlyMap<unknown, unknown> | undefined {
  const isState = (value: unknown): value is ReadonlyMap<unknown, unknown> =>
    value instanceof Map && [...value.values()].some((each) => each instanceof Tensor);
  const inner = root instanceof Map ? STATES.map((name) => root.get(name)).find(isState) : undefined;
  return inner ?? (isState(root) ? root : undefined);
}

/** Whether the values stand in the storage one after the other, in the order of the shape. */
function isContiguous({ shape, stride }: Tensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}

/** The bytes of `count` values of the storage from the tensor's first on. */
const bytesOf = (path: string, { storage, offset }: Tensor, count: number) => ({
  path,
  offset: storage.place + offset * storage.type.width,
  length: count * storage.type.width,
});

async function readValues(
  path: string,
  tensor: Tensor,
  float: FloatType,
  target: Float32Array,
): Promise<void> {
  if (isContiguous(tensor)) {
    const into = float.decode
      ? undefined
      : new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
    await readRanges([bytesOf(path, tensor, target.length)], into, (chunk, before) => {
      const first = before / float.width;
      float.decode?.(chunk, target.subarray(first, first + chunk.length / float.width));
    });
    return;
  }
  const { shape, stride } = tensor;
  const span = shape.reduce((sum, n, axis) => sum + (n - 1) * stride[axis], 1);
  const stored = new Float32Array(span);
  const place = { ...bytesOf(path, tensor, span) };
  await readRanges([place], undefined, (chunk, before) => {
    stored.set(asFloat32(chunk, float), before / float.width);
  });
  for (let i = 0; i < target.length; i++) {
    let rest = i;
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += (rest % shape[axis]) * stride[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    target[i] = stored[from];
  }
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
