// Files that torch.save writes: pytorch_model.bin, ckpt.pt. Source: torch/serialization.py, torch/_utils.py.
import { showShape, sizeOf } from "../../model/parameters.js";
import { shorten } from "../../system/errors.js";
import { isSize } from "../../system/json.js";
import { BFLOAT16, FLOAT16, FLOAT32, FLOAT64, type FloatType } from "../floats.js";
import { FormatError, type OpenFile, readFormat } from "../open-file.js";
import { type StoredTensor, type StoredTensors, spanOf, storedTensors } from "../stored-tensors.js";
import { type Callable, EndOfPickle, type PickleWorld, Tuple, unpickle } from "./pickle.js";
import { listZip, locate, type StoredEntry } from "./zip.js";

/** The largest GPT-2's pickle has 200 kB; a trainer's has somewhat more. */
const PICKLE_LIMIT = 16 << 20;
const PICKLE_STEP = 1 << 18;
const RANK_LIMIT = 8;
/** The beginning of a file from before torch 1.6: its magic number, pickled. */
const LEGACY_MAGIC = Buffer.from("80028a0a6cfc9c46f9206aa85019", "hex");

/** A storage type: its name in messages, bytes per value, and its decoder if it can be read. */
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

/** Memory that tensors share, identified by its key in the file. */
class Storage {
  /** Where its bytes begin in the file; in a legacy file known only once everything is parsed. */
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

/** An open torch file; the format has no checksums of tensors. */
export interface TorchFile extends StoredTensors {
  /** What the file holds besides tensors, e.g. nanoGPT's "model_args"; dictionaries are Maps. */
  readonly extra: ReadonlyMap<unknown, unknown>;
}

/**
 * Opens a file that torch.save wrote, a zip archive or the older form from before torch 1.6. Reads only its list of
 * tensors and runs none of its code.
 * @throws UserError that names the file when it is missing, cut off, not torch's, or wants code to be run
 */
export function openTorchFile(path: string): Promise<TorchFile> {
  return readFormat(path, "a PyTorch file", async (file) => {
    const head = await file.bytes(0, Math.min(file.size, LEGACY_MAGIC.length));
    const root = head.equals(LEGACY_MAGIC) ? await readLegacy(file) : await readArchive(file);
    const state = stateOf(root);
    if (!state) throw new FormatError("it holds no dictionary of tensors");
    const tensors = new Map<string, StoredTensor>();
    for (const [name, value] of state) {
      if (typeof name === "string" && value instanceof Tensor) tensors.set(name, describe(path, value));
    }
    const extra = root instanceof Map && root !== state ? root : new Map();
    return { ...storedTensors(path, tensors), extra };
  });
}

/** The object in a zip archive, with its storages located. */
async function readArchive(file: OpenFile): Promise<unknown> {
  const entries = await listZip(file);
  const pickle = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickle === undefined) throw new FormatError("it has no data.pkl, so it is another kind of archive");
  const folder = pickle.slice(0, -"data.pkl".length);
  const placeOf = (name: string): Promise<StoredEntry | undefined> =>
    locate(file, entries.get(folder + name));
  const order = await placeOf("byteorder");
  if (order && `${await file.bytes(order.offset, Math.min(order.length, 8))}` === "big") {
    throw new FormatError("its numbers are big-endian");
  }
  const { offset, length } = (await placeOf("data.pkl")) as StoredEntry;
  if (length > PICKLE_LIMIT) throw new FormatError("its list of tensors is too large");
  const world = new World();
  const { value } = unpickle(await file.bytes(offset, length), 0, world);
  for (const storage of world.storages.values()) {
    const place = await placeOf(`data/${storage.key}`);
    if (!place || place.length < storage.numel * storage.type.width) {
      throw new FormatError(`its storage ${shorten(storage.key, 20)} is missing or cut off`);
    }
    storage.place = place.offset;
  }
  return value;
}

/** The object in a file from before torch 1.6: five pickles, then the storages in turn. */
async function readLegacy(file: OpenFile): Promise<unknown> {
  for (let length = PICKLE_STEP; ; length *= 8) {
    try {
      return await parseLegacy(file, await file.bytes(0, Math.min(file.size, length)));
    } catch (error) {
      if (!(error instanceof EndOfPickle) || length >= Math.min(file.size, PICKLE_LIMIT)) throw error;
    }
  }
}

/** @param bytes the beginning of the file */
async function parseLegacy(file: OpenFile, bytes: Buffer): Promise<unknown> {
  const { size } = file;
  const plain: PickleWorld = { global: () => undefined, persistent: () => undefined };
  let at = 0;
  for (let i = 0; i < 3; i++) at = unpickle(bytes, at, plain).end; // magic number, version, the writer's platform
  const world = new World();
  const object = unpickle(bytes, at, world);
  const keys = unpickle(bytes, object.end, plain);
  if (!Array.isArray(keys.value)) throw new FormatError("its list of storages is not a list");
  let place = keys.end;
  for (const key of keys.value) {
    const storage = world.storages.get(key as string);
    if (!storage || storage.place >= 0) throw new FormatError("its list of storages is damaged");
    if (place + 8 > size) throw new FormatError("it is cut off");
    const numel = Number((await file.bytes(place, 8)).readBigUInt64LE());
    if (numel !== storage.numel) throw new FormatError("its list of storages is damaged");
    storage.place = place + 8;
    place = storage.place + numel * storage.type.width;
    if (place > size) throw new FormatError("it is cut off");
  }
  if ([...world.storages.values()].some((storage) => storage.place < 0)) {
    throw new FormatError("its list of storages is damaged");
  }
  return object.value;
}

/** What torch's pickles may refer to: tensors, storages, dictionaries and types. */
class World implements PickleWorld {
  readonly storages = new Map<string, Storage>();
  private readonly types = new Map<Callable, StorageType>();

  global(name: string): Callable | undefined {
    const type = STORAGE_TYPES.get(name);
    if (type) {
      const token: Callable = () => {
        throw new FormatError("it calls something that is not a function");
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
      throw new FormatError("it refers to something that is not a storage of numbers");
    }
    const storage = this.storages.get(key) ?? new Storage(key, type, numel);
    if (storage.type !== type || storage.numel !== numel) {
      throw new FormatError("it describes a storage in two ways");
    }
    this.storages.set(key, storage);
    return storage;
  }
}

/** The functions that pickles of tensors call. Other types can be named but not called. */
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
    throw new FormatError("it has a tensor that is not described");
  }
  if (shape.length > RANK_LIMIT || shape.length !== steps.length) {
    throw new FormatError("it has a tensor without a valid shape");
  }
  const end = offset + spanOf(shape, steps);
  if (end > storage.numel || !Number.isSafeInteger(sizeOf(shape)) || sizeOf(shape) > 2 * storage.numel) {
    throw new FormatError(`it has a tensor of the shape ${showShape(shape)} outside its storage`);
  }
  return new Tensor(storage, offset, shape, steps);
}

/** Keys under which programs store a model's state among other things. */
const STATES = ["model", "state_dict", "model_state_dict", "module"];

/** The dictionary of tensors: the object itself, or its entry under one of the usual keys. */
function stateOf(root: unknown): ReadonlyMap<unknown, unknown> | undefined {
  const isState = (value: unknown): value is ReadonlyMap<unknown, unknown> =>
    value instanceof Map && [...value.values()].some((each) => each instanceof Tensor);
  const inner = root instanceof Map ? STATES.map((name) => root.get(name)).find(isState) : undefined;
  return inner ?? (isState(root) ? root : undefined);
}

/** Whether the values are contiguous and in row-major order. */
function isContiguous(shape: readonly number[], stride: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}

function describe(path: string, { storage, offset, shape, stride }: Tensor): StoredTensor {
  const { dtype, width, float: type } = storage.type;
  const strides = isContiguous(shape, stride) ? undefined : stride;
  const values = strides ? spanOf(shape, strides) : sizeOf(shape);
  const range = { path, offset: storage.place + offset * width, length: values * width };
  return { shape, dtype, type, ranges: [range], ...(strides && { strides }) };
}
