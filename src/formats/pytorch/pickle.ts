// The part of Python's pickle that files of tensors use. A pickle is a program for a stack machine that may call any
// Python function; this one calls only those its caller provides.
// Source: CPython's Lib/pickletools.py describes every opcode.

import { shorten } from "../../system/errors.js";
import { FormatError } from "../open-file.js";

/** A function that a pickle may call, e.g. "torch._utils _rebuild_tensor_v2". */
export type Callable = (...args: readonly unknown[]) => unknown;

/** What a pickle may refer to. */
export interface PickleWorld {
  /** The function or class with this "module name"; undefined refuses it. */
  global(name: string): Callable | undefined;
  /** The value of a persistent id. */
  persistent(id: unknown): unknown;
}

/** A tuple, which torch distinguishes from a list. */
export class Tuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** The bytes end before the pickle does. */
export class EndOfPickle extends FormatError {}

/** Ten times what the largest GPT-2 takes with its optimizer; each step may make a value of hundreds of bytes. */
const STEP_LIMIT = 1_000_000;
const MARK = Symbol("mark");

/**
 * Reads one pickle. Dictionaries become Maps, tuples Tuples, integers numbers or bigints.
 * @returns the value, and the pickle's end in `bytes`
 * @throws FormatError when it is damaged, or asks for something that is not in `world`
 */
export function unpickle(bytes: Buffer, start: number, world: PickleWorld): { value: unknown; end: number } {
  const machine = new Machine(bytes, start, world);
  return { value: machine.run(), end: machine.at };
}

class Machine {
  at: number;
  private readonly stack: unknown[] = [];
  private readonly memo = new Map<number, unknown>();

  constructor(
    private readonly bytes: Buffer,
    start: number,
    private readonly world: PickleWorld,
  ) {
    this.at = start;
  }

  run(): unknown {
    for (let steps = 0; ; steps++) {
      if (steps > STEP_LIMIT) throw new FormatError("its list of tensors is too long");
      const opcode = this.bytes[this.take(1)];
      if (opcode === 0x2e) return this.pop(); // STOP
      const step = STEPS.get(opcode);
      if (!step)
        throw new FormatError(`it has the opcode 0x${opcode.toString(16)}, which no tensor file needs`);
      step(this);
    }
  }

  /** Skips `length` bytes. @returns where they begin */
  take(length: number): number {
    const from = this.at;
    if (!(length >= 0 && length <= this.bytes.length - from)) throw new EndOfPickle("it is cut off");
    this.at += length;
    return from;
  }

  uint8 = (): number => this.bytes[this.take(1)];
  uint16 = (): number => this.bytes.readUInt16LE(this.take(2));
  uint32 = (): number => this.bytes.readUInt32LE(this.take(4));
  int32 = (): number => this.bytes.readInt32LE(this.take(4));
  uint64 = (): number => Number(this.bytes.readBigUInt64LE(this.take(8)));
  double = (): number => this.bytes.readDoubleBE(this.take(8));

  text(length: number): string {
    const from = this.take(length);
    return this.bytes.toString("utf8", from, from + length);
  }

  raw(length: number): Buffer {
    const from = this.take(length);
    return this.bytes.subarray(from, from + length);
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw new EndOfPickle("it is cut off");
    const line = this.text(end - this.at);
    this.at += 1;
    return line;
  }

  /** A little-endian two's complement integer of `length` bytes. */
  long(length: number): number | bigint {
    if (length === 0) return 0;
    if (length > 32) throw new FormatError("it has a number with too many digits");
    const raw = this.raw(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(raw[i]);
    value = BigInt.asIntN(8 * length, value);
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  }

  push = (value: unknown): void => void this.stack.push(value);

  pop(): unknown {
    if (this.stack.length === 0) throw new FormatError("its stack runs empty");
    return this.stack.pop();
  }

  get top(): unknown {
    if (this.stack.length === 0) throw new FormatError("its stack runs empty");
    return this.stack[this.stack.length - 1];
  }

  /** Pops everything above the last mark, and the mark. */
  popMark(): unknown[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) throw new FormatError("its stack has no mark");
    return this.stack.splice(mark).slice(1);
  }

  popMany(count: number): unknown[] {
    if (this.stack.length < count) throw new FormatError("its stack runs empty");
    return this.stack.splice(this.stack.length - count);
  }

  put = (index: number): void => void this.memo.set(index, this.top);

  memoize = (): void => this.put(this.memo.size);

  get(index: number): void {
    if (!this.memo.has(index)) throw new FormatError("it refers to a value that it does not have");
    this.push(this.memo.get(index));
  }

  global(module: unknown, name: unknown): void {
    // Never converted to text: a list that contains itself over and over would fill the memory.
    if (typeof module !== "string" || typeof name !== "string") throw new FormatError("it asks for no name");
    const full = `${module} ${name}`;
    const found = this.world.global(full);
    if (!found) {
      throw new FormatError(
        `it asks for ${shorten(full.replace(" ", "."))}, which no tensor file needs and which is never run`,
      );
    }
    this.push(found);
  }

  persistent = (id: unknown): void => this.push(this.world.persistent(id));

  reduce(): void {
    const [callable, args] = this.popMany(2);
    if (typeof callable !== "function" || !(args instanceof Tuple) || args.items.length > 100) {
      throw new FormatError("it calls something that is not a function");
    }
    this.push((callable as Callable)(...args.items));
  }

  append(items: readonly unknown[]): void {
    const list = this.top;
    if (!Array.isArray(list)) throw new FormatError("it appends to something that is not a list");
    for (const item of items) list.push(item);
  }

  setItems(items: readonly unknown[]): void {
    const map = this.top;
    if (!(map instanceof Map))
      throw new FormatError("it sets an entry of something that is not a dictionary");
    if (items.length % 2 !== 0) throw new FormatError("it has a key without a value");
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }
}

/** A dictionary from alternating keys and values. */
function dictionary(items: readonly unknown[]): Map<unknown, unknown> {
  if (items.length % 2 !== 0) throw new FormatError("it has a key without a value");
  const map = new Map<unknown, unknown>();
  for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  return map;
}

/** The opcodes in torch's pickles of any version, and the related ones for numbers, texts and containers. */
const STEPS: ReadonlyMap<number, (m: Machine) => void> = new Map([
  [0x80, (m) => void m.uint8()], // PROTO
  [0x95, (m) => void m.uint64()], // FRAME
  [0x28, (m) => m.push(MARK)], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x31, (m) => void m.popMark()], // POP_MARK
  [0x32, (m) => m.push(m.top)], // DUP
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x49, (m) => m.push(textNumber(m.line()))], // INT
  [0x4c, (m) => m.push(textNumber(m.line().replace(/L$/, "")))], // LONG
  [0x46, (m) => m.push(textNumber(m.line()))], // FLOAT
  [0x4a, (m) => m.push(m.int32())], // BININT
  [0x4b, (m) => m.push(m.uint8())], // BININT1
  [0x4d, (m) => m.push(m.uint16())], // BININT2
  [0x8a, (m) => m.push(m.long(m.uint8()))], // LONG1
  [0x47, (m) => m.push(m.double())], // BINFLOAT
  [0x55, (m) => m.push(m.text(m.uint8()))], // SHORT_BINSTRING
  [0x54, (m) => m.push(m.text(m.int32()))], // BINSTRING
  [0x8c, (m) => m.push(m.text(m.uint8()))], // SHORT_BINUNICODE
  [0x58, (m) => m.push(m.text(m.uint32()))], // BINUNICODE
  [0x8d, (m) => m.push(m.text(m.uint64()))], // BINUNICODE8
  [0x43, (m) => m.push(m.raw(m.uint8()))], // SHORT_BINBYTES
  [0x42, (m) => m.push(m.raw(m.uint32()))], // BINBYTES
  [0x7d, (m) => m.push(new Map())], // EMPTY_DICT
  [0x64, (m) => m.push(dictionary(m.popMark()))], // DICT
  [0x5d, (m) => m.push([])], // EMPTY_LIST
  [0x6c, (m) => m.push(m.popMark())], // LIST
  [0x29, (m) => m.push(new Tuple([]))], // EMPTY_TUPLE
  [0x74, (m) => m.push(new Tuple(m.popMark()))], // TUPLE
  [0x85, (m) => m.push(new Tuple(m.popMany(1)))], // TUPLE1
  [0x86, (m) => m.push(new Tuple(m.popMany(2)))], // TUPLE2
  [0x87, (m) => m.push(new Tuple(m.popMany(3)))], // TUPLE3
  [0x8f, (m) => m.push([])], // EMPTY_SET
  [0x90, (m) => appendMarked(m)], // ADDITEMS
  [0x61, (m) => m.append(m.popMany(1))], // APPEND
  [0x65, (m) => appendMarked(m)], // APPENDS
  [0x73, (m) => m.setItems(m.popMany(2))], // SETITEM
  [0x75, (m) => m.setItems(m.popMark())], // SETITEMS
  [0x63, (m) => m.global(m.line(), m.line())], // GLOBAL
  [0x93, (m) => m.global(...(m.popMany(2) as [unknown, unknown]))], // STACK_GLOBAL
  [0x52, (m) => m.reduce()], // REDUCE
  [0x81, (m) => m.reduce()], // NEWOBJ
  // A state_dict's attributes (module versions) say nothing about its tensors.
  [0x62, (m) => void m.pop()], // BUILD
  [0x51, (m) => m.persistent(m.pop())], // BINPERSID
  [0x71, (m) => m.put(m.uint8())], // BINPUT
  [0x72, (m) => m.put(m.uint32())], // LONG_BINPUT
  [0x94, (m) => m.memoize()], // MEMOIZE
  [0x68, (m) => m.get(m.uint8())], // BINGET
  [0x6a, (m) => m.get(m.uint32())], // LONG_BINGET
]);

function appendMarked(m: Machine): void {
  const items = m.popMark();
  m.append(items);
}

/** A number stored as text; protocol 0 writes True as 01. */
function textNumber(text: string): number | boolean {
  if (text === "01") return true;
  if (text === "00") return false;
  const value = Number(text);
  if (text.trim() === "" || (Number.isNaN(value) && text !== "nan")) {
    throw new FormatError("it has an invalid number");
  }
  return value;
}
