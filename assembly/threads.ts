/**
 * How threads share work. Every thread runs the same program in its own instance over one memory; loops are
 * cut into units that threads claim one by one, so that a thread which the system holds back costs only its
 * unit. Which thread does a unit never changes what it computes.
 */

/** Words that all threads see. Written by src/engines/cpu/runtime/pool.ts: same order there. */
@unmanaged
export class Control {
  /** Counts jobs: a new value starts one. */
  job: i32;
  kind: i32;
  argument: usize;
  threads: i32;
  /** Threads that have reached the barrier. */
  arrived: i32;
  /** Counts barriers: a new value opens it. */
  generation: i32;
  /** Threads asleep at the barrier. */
  asleep: i32;
  /** Not 0 when a thread has failed: all others stop. */
  failed: i32;
  /** How often to look before sleeping. */
  spins: i32;
  /** Seconds without any progress after which a thread gives up. */
  patience: i32;
}

/** The first counter's place after the control words, and their distance: one cache line each. */
const COUNTERS: usize = 64;
const LINE: usize = 64;

// Globals are a thread's own: each has its own instance.
let control: usize = 0;
let thread: u32 = 0;
let units: u32 = 0;
let part: u32 = 0; // how many threads' parts this one has gone through

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
  return shared().threads;
}

// @ts-ignore: decorator
@inline
function shared(): Control {
  return changetype<Control>(control);
}

/**
 * Starts a loop over n units that all threads share: each takes the units of its own part in order, then
 * helps with the others'. A barrier() ends it.
 * @returns a unit to do, or -1 when none is left
 */
export function first(n: u32): i32 {
  units = n;
  part = 0;
  return next();
}

export function next(): i32 {
  const threads = <u32>shared().threads;
  while (part < threads) {
    const owner = (thread + part) % threads;
    const begin = <u32>((<u64>units * owner) / threads);
    const end = <u32>((<u64>units * (owner + 1)) / threads);
    const unit = begin + atomic.add<u32>(control + COUNTERS + <usize>owner * LINE, 1);
    if (unit < end) return <i32>unit;
    part++;
  }
  return -1;
}

/** Waits until all threads are here: what they wrote before it, all see after it. Traps if one has failed. */
export function barrier(): void {
  const c = shared();
  const generation = control + offsetof<Control>("generation");
  const now = atomic.load<i32>(generation);
  if (atomic.add<i32>(control + offsetof<Control>("arrived"), 1) == c.threads - 1) {
    for (let t = 0; t < c.threads; t++) atomic.store<i32>(control + COUNTERS + <usize>t * LINE, 0);
    atomic.store<i32>(control + offsetof<Control>("arrived"), 0);
    atomic.store<i32>(generation, now + 1);
    if (atomic.load<i32>(control + offsetof<Control>("asleep"))) atomic.notify(generation, -1);
    return;
  }
  for (let i = c.spins; i > 0; i--) if (atomic.load<i32>(generation) != now) return;
  atomic.add<i32>(control + offsetof<Control>("asleep"), 1);
  let seconds = 0;
  while (atomic.load<i32>(generation) == now) {
    if (atomic.wait<i32>(generation, now, 1000000000) == 2) seconds++;
    if (seconds >= c.patience) fail();
    if (atomic.load<i32>(control + offsetof<Control>("failed"))) unreachable();
  }
  atomic.sub<i32>(control + offsetof<Control>("asleep"), 1);
}

/** Lets every thread know that this one cannot go on, and stops. */
function fail(): void {
  atomic.store<i32>(control + offsetof<Control>("failed"), 1);
  atomic.notify(control + offsetof<Control>("generation"), -1);
  unreachable();
}

/** Waits for a job other than the one seen last. */
export function nextJob(seen: i32): i32 {
  const address = control + offsetof<Control>("job");
  for (let i = shared().spins; i > 0; i--) {
    const job = atomic.load<i32>(address);
    if (job != seen) return job;
  }
  while (atomic.load<i32>(address) == seen) atomic.wait<i32>(address, seen, -1);
  return atomic.load<i32>(address);
}

// @ts-ignore: decorator
@inline
export function jobKind(): i32 {
  return shared().kind;
}

// @ts-ignore: decorator
@inline
export function jobArgument(): usize {
  return shared().argument;
}
