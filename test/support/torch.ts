// Files as torch.save writes them: a zip archive or, before torch 1.6, pickles with the storages behind them.
// torch itself wrote those of test/fixtures/huggingface/torch. Source: torch/serialization.py, pickletools.py.
import { crc32 } from "../../dist/src/formats/crc.js";

/** Tensors by their names; two with the same values share a storage. */
export type Tensors = ReadonlyMap<
  string,
  { readonly shape: readonly number[]; readonly values: Float32Array }
>;

const u16 = (n: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(n);
  return bytes;
};
const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes;
};
const code = (text: string): Buffer => Buffer.from(text, "latin1");
const pickle = (...parts: readonly Buffer[]): Buffer =>
  Buffer.concat([code("\x80\x02"), ...parts, code(".")]);
const unicode = (text: string): Buffer =>
  Buffer.concat([code("X"), u32(Buffer.byteLength(text)), Buffer.from(text)]);
const int = (n: number): Buffer => Buffer.concat([code("J"), u32(n)]);
const tuple = (...items: readonly Buffer[]): Buffer => Buffer.concat([code("("), ...items, code("t")]);
const list = (items: readonly Buffer[]): Buffer => Buffer.concat([code("]("), ...items, code("e")]);
const global = (module: string, name: string): Buffer => code(`c${module}\n${name}\n`);
const ORDERED_DICT = Buffer.concat([global("collections", "OrderedDict"), code(")R")]);

/** The values of storages, by their keys, and the key of each tensor. */
function storagesOf(tensors: Tensors): { storages: Float32Array[]; keys: Map<string, number> } {
  const storages: Float32Array[] = [];
  const keys = new Map<string, number>();
  for (const [name, { values }] of tensors) {
    const known = storages.indexOf(values);
    keys.set(name, known < 0 ? storages.push(values) - 1 : known);
  }
  return { storages, keys };
}

/** A state_dict's pickle. @param isLegacy storages have a sixth value then, for views */
function stateDict(tensors: Tensors, keys: ReadonlyMap<string, number>, isLegacy: boolean): Buffer {
  const items = [...tensors].flatMap(([name, { shape, values }]) => {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
    const storage = tuple(
      unicode("storage"),
      global("torch", "FloatStorage"),
      unicode(`${keys.get(name)}`),
      unicode("cpu"),
      int(values.length),
      ...(isLegacy ? [code("N")] : []),
    );
    const [size, stride] = [shape, strides].map((numbers) => tuple(...numbers.map(int)));
    const args = tuple(Buffer.concat([storage, code("Q")]), int(0), size, stride, code("\x89"), ORDERED_DICT);
    return [unicode(name), global("torch._utils", "_rebuild_tensor_v2"), args, code("R")];
  });
  return pickle(ORDERED_DICT, code("("), ...items, code("u"));
}

const bytesOf = (values: Float32Array): Buffer =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength);

/** torch.save(state, path, _use_new_zipfile_serialization=False) */
export function legacyTorchFile(tensors: Tensors): Buffer {
  const { storages, keys } = storagesOf(tensors);
  const magic = Buffer.from("8a0a6cfc9c46f9206aa85019", "hex");
  const system = Buffer.concat([code("}("), unicode("little_endian"), code("\x88"), code("u")]);
  return Buffer.concat([
    pickle(magic),
    pickle(code("M"), u16(1001)),
    pickle(system),
    stateDict(tensors, keys, true),
    pickle(list(storages.map((_, key) => unicode(`${key}`)))),
    ...storages.flatMap((values) => [u32(values.length), u32(0), bytesOf(values)]),
  ]);
}

/** torch.save(state, path) */
export function zipTorchFile(tensors: Tensors): Buffer {
  const { storages, keys } = storagesOf(tensors);
  const entries: [string, Buffer][] = [
    ["archive/data.pkl", stateDict(tensors, keys, false)],
    ["archive/byteorder", Buffer.from("little")],
    ...storages.map((values, key): [string, Buffer] => [`archive/data/${key}`, bytesOf(values)]),
    ["archive/version", Buffer.from("3\n")],
  ];
  const [locals, centrals]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const [name, content] of entries) {
    const sizes = [u32(crc32(content)), u32(content.length), u32(content.length)];
    const common = [u16(20), u16(0), u16(0), u16(0), u16(0), ...sizes, u16(name.length), u16(0)];
    const local = Buffer.concat([code("PK\x03\x04"), ...common, code(name), content]);
    centrals.push(
      Buffer.concat([code("PK\x01\x02"), u16(20), ...common, Buffer.alloc(10), u32(offset), code(name)]),
    );
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const count = u16(entries.length);
  const end = [code("PK\x05\x06"), u32(0), count, count, u32(directory.length), u32(offset), u16(0)];
  return Buffer.concat([...locals, directory, ...end]);
}
