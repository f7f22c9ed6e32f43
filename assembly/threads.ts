/**
 * How threads share work. Every thread runs the same program in its own instance over one memory. A job is a series of
 * phases; a phase's work is cut into units that threads claim one by one, and it is over when all its units are done,
 * whether or not every thread has reached it. So a thread that the system holds up delays at most the unit it is at:
 * the others go on to the next phases, and it finds nothing left to claim in those it missed. What a thread does in a
 * phase besides its units must therefore touch nothing but its own scratch memory. Which thread does a unit never
 * changes the result.
 */
import { Control, LINE, Own } from "./abi";

// Globals are a thread's own: each has its own instance.
let control: usize = 0;
let thread: u32 = 0;
let units: u32 = 0;
let done: u32 = 0; // units that this thread did
let part: u32 = 0; // how many threads' shares this thread has been through

/** Tells this instance where the control words are, and which thread it is, from 0. */
export function join(address: usize, index: u32): void {
  control = address;
  thread = index;
}

/** This thread's number, from 0. */
// @ts-ignore: decorator
@inline
export function threadIndex(): u32 {
  return thread;
}

/** How many threads there are, this one included. */
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

/** The address of one of a thread's words. */
// @ts-ignore: decorator
@inline
function own(owner: u32, index: Own): usize {
  return control + LINE + <usize>owner * LINE + (<usize>index << 2);
}

/**
 * Starts a loop over n units that all threads share: each takes the units of its own share in order, then helps
 * with the others'. One loop a phase; a barrier() ends it.
 * @returns a unit to do, or -1 when none is left
 */
export function first(n: u32): i32 {
  units = n;
  done = 0;
  part = 0;
  return next();
}

/** The loop's next unit. @returns -1 when none is left */
export function next(): i32 {
  const threads = threadCount();
  while (part < threads) {
    const owner = (thread + part) % threads;
    const begin = <u32>((<u64>units * owner) / threads);
    const end = <u32>((<u64>units * (owner + 1)) / threads);
    const unit = claim(owner, end - begin);
    if (unit >= 0) {
      done++;
      return <i32>begin + unit;
    }
    part++;
  }
  store<u32>(own(thread, Own.ALL), units);
  store<u32>(own(thread, Own.DONE), done);
  return -1;
}

/**
 * Takes a unit of a thread's share of this phase. A counter holds how many are taken, below the phase they belong to:
 * one of an older phase counts from 0, and in a newer one nothing is left for this thread.
 */
function claim(owner: u32, size: u32): i32 {
  const counter = own(owner, Own.TAKEN);
  const phase = load<u32>(own(thread, Own.PHASE));
  let now = atomic.load<u64>(counter);
  let seen: u64;
  let taken: u32;
  do {
    seen = now;
    const age = <i32>(<u32>(seen >> 32) - phase);
    taken = age < 0 ? 0 : <u32>seen;
    if (age > 0 || taken >= size) return -1;
    now = atomic.cmpxchg<u64>(counter, seen, ((<u64>phase) << 32) | (taken + 1));
  } while (now != seen);
  return <i32>taken;
}

/** Whether the others have gone on from the phase that this thread is at. */
export function isBehind(): bool {
  return atomic.load<u32>(word(Control.GENERATION)) != load<u32>(own(thread, Own.PHASE));
}

/** Waits until this phase's units are done, and shows what they wrote. Traps if a thread has failed. */
export function barrier(): void {
  const generation = word(Control.GENERATION);
  const phase = load<u32>(own(thread, Own.PHASE));
  const all = load<u32>(own(thread, Own.ALL));
  const did = load<u32>(own(thread, Own.DONE));
  store<u32>(own(thread, Own.PHASE), phase + 1);
  store<u32>(own(thread, Own.ALL), 0);
  store<u32>(own(thread, Own.DONE), 0);
  if (did ? atomic.add<u32>(word(Control.FINISHED), did) + did == all : all == 0) {
    if (did) atomic.store<u32>(word(Control.FINISHED), 0);
    if (atomic.cmpxchg<u32>(generation, phase, phase + 1) == phase && atomic.load<i32>(word(Control.ASLEEP)))
      atomic.notify(generation, -1);
    return;
  }
  for (let i = load<i32>(word(Control.SPINS)); i > 0; i--) if (atomic.load<u32>(generation) != phase) return;
  atomic.add<i32>(word(Control.ASLEEP), 1);
  sleepWhile(Control.GENERATION, phase, load<i32>(word(Control.PATIENCE)));
  atomic.sub<i32>(word(Control.ASLEEP), 1);
}

/** Sleeps while a control word has this value. @param patience seconds after which it gives up */
function sleepWhile(index: Control, value: i32, patience: i32): void {
  while (atomic.load<i32>(word(index)) == value) {
    if (atomic.wait<i32>(word(index), value, 1000000000) == 2 && --patience <= 0) fail();
    if (atomic.load<i32>(word(Control.FAILED))) unreachable();
  }
}

/** Tells every thread that this one cannot continue, and stops. */
function fail(): void {
  atomic.store<i32>(word(Control.FAILED), 1);
  atomic.notify(word(Control.GENERATION), -1);
  unreachable();
}

/**
 * Waits for a job other than the last one seen, and joins in. Written as it is for Node 20: where the last lines were a
 * function of their own, inlined, its baseline compiler lost a local across the wait, and the thread slept for ever.
 */
export function nextJob(seen: i32): i32 {
  const address = word(Control.JOB);
  let isInside = false;
  while (!isInside) {
    for (let i = load<i32>(word(Control.SPINS)); i > 0 && atomic.load<i32>(address) == seen; i--) {}
    while (atomic.load<i32>(address) == seen) atomic.wait<i32>(address, seen, -1);
    seen = atomic.load<i32>(address);
    if (!(seen & 1)) continue; // it is over
    // A job's words change only when its number has changed and nobody is inside.
    atomic.add<i32>(word(Control.INSIDE), 1);
    isInside = atomic.load<i32>(address) == seen;
    if (!isInside) leaveJob();
  }
  return seen;
}

/** Begins a job's phases on this thread. */
export function beginJob(): void {
  store<u32>(own(thread, Own.PHASE), load<u32>(word(Control.START)));
  store<u32>(own(thread, Own.ALL), 0);
  store<u32>(own(thread, Own.DONE), 0);
}

/** Leaves a job, on a worker. */
export function leaveJob(): void {
  if (atomic.sub<i32>(word(Control.INSIDE), 1) == 1 && atomic.load<i32>(word(Control.LEAVING)))
    atomic.notify(word(Control.INSIDE), -1);
}

/** Ends the job on its first thread: no worker may join any more, and those inside have left. */
export function endJob(): void {
  atomic.add<i32>(word(Control.JOB), 1);
  const inside = word(Control.INSIDE);
  for (let i = load<i32>(word(Control.SPINS)); i > 0; i--) if (!atomic.load<i32>(inside)) return;
  atomic.store<i32>(word(Control.LEAVING), 1);
  for (let n = atomic.load<i32>(inside); n; n = atomic.load<i32>(inside)) sleepWhile(Control.INSIDE, n, load<i32>(word(Control.PATIENCE)));
  atomic.store<i32>(word(Control.LEAVING), 0);
}

/** The current job's number: InferenceJob or TrainingJob. */
// @ts-ignore: decorator
@inline
export function jobKind(): i32 {
  return load<i32>(word(Control.KIND));
}

/** The address of the current job's record. */
// @ts-ignore: decorator
@inline
export function jobArgument(): usize {
  return load<usize>(word(Control.ARGUMENT));
}
