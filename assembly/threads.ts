/**
 * How threads share work. Every thread runs the same program in its own instance over one memory. Loops are cut into
 * units that threads claim one by one, so a thread that the system holds up delays only its own unit. Which thread
 * does a unit never changes the result.
 */
import { Control, LINE } from "./abi";

// Globals are a thread's own: each has its own instance.
let control: usize = 0;
let thread: u32 = 0;
let units: u32 = 0;
let part: u32 = 0; // how many threads' shares this thread has been through

export function join(address: usize, index: u32): void {
  control = address;
  thread = index;
}

// @ts-ignore: decorator
@inline
export function threadIndex(): u32 {
  return thread;
}

// @ts-ignore: decorator
@inline
export function threadCount(): u32 {
  return load<u32>(word(Control.THREADS));
}

/** The address of a control word. */
// @ts-ignore: decorator
@inline
function word(index: Control): usize {
  return control + (<usize>index << 2);
}

/** The address of a thread's counter. */
// @ts-ignore: decorator
@inline
function counter(owner: u32): usize {
  return control + LINE + <usize>owner * LINE;
}

/**
 * Starts a loop over n units that all threads share: each takes the units of its own share in order, then helps
 * with the others'. A barrier() ends it.
 * @returns a unit to do, or -1 when none is left
 */
export function first(n: u32): i32 {
  units = n;
  part = 0;
  return next();
}

export function next(): i32 {
  const threads = threadCount();
  while (part < threads) {
    const owner = (thread + part) % threads;
    const begin = <u32>((<u64>units * owner) / threads);
    const end = <u32>((<u64>units * (owner + 1)) / threads);
    const unit = begin + atomic.add<u32>(counter(owner), 1);
    if (unit < end) return <i32>unit;
    part++;
  }
  return -1;
}

/** Waits until all threads are here; each then sees what the others wrote before. Traps if one has failed. */
export function barrier(): void {
  const threads = threadCount();
  const generation = word(Control.GENERATION);
  const now = atomic.load<i32>(generation);
  if (atomic.add<u32>(word(Control.ARRIVED), 1) == threads - 1) {
    for (let t: u32 = 0; t < threads; t++) atomic.store<i32>(counter(t), 0);
    atomic.store<i32>(word(Control.ARRIVED), 0);
    atomic.store<i32>(generation, now + 1);
    if (atomic.load<i32>(word(Control.ASLEEP))) atomic.notify(generation, -1);
    return;
  }
  for (let i = load<i32>(word(Control.SPINS)); i > 0; i--) if (atomic.load<i32>(generation) != now) return;
  atomic.add<i32>(word(Control.ASLEEP), 1);
  let seconds = 0;
  while (atomic.load<i32>(generation) == now) {
    if (atomic.wait<i32>(generation, now, 1000000000) == 2) seconds++;
    if (seconds >= load<i32>(word(Control.PATIENCE))) fail();
    if (atomic.load<i32>(word(Control.FAILED))) unreachable();
  }
  atomic.sub<i32>(word(Control.ASLEEP), 1);
}

/** Tells every thread that this one cannot continue, and stops. */
function fail(): void {
  atomic.store<i32>(word(Control.FAILED), 1);
  atomic.notify(word(Control.GENERATION), -1);
  unreachable();
}

/** Waits for a job other than the last one seen. */
export function nextJob(seen: i32): i32 {
  const address = word(Control.JOB);
  for (let i = load<i32>(word(Control.SPINS)); i > 0; i--) {
    const job = atomic.load<i32>(address);
    if (job != seen) return job;
  }
  while (atomic.load<i32>(address) == seen) atomic.wait<i32>(address, seen, -1);
  return atomic.load<i32>(address);
}

// @ts-ignore: decorator
@inline
export function jobKind(): i32 {
  return load<i32>(word(Control.KIND));
}

// @ts-ignore: decorator
@inline
export function jobArgument(): usize {
  return load<usize>(word(Control.ARGUMENT));
}
