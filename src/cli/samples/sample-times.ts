import type { SampleEvent } from "../../sampling/sample.js";

/** Measures how long samples take that are written side by side: each from when its place in the batch was free. */
export class SampleTimes {
  /** When places became free that no sample has taken yet. */
  private readonly free: number[];
  private readonly began = new Map<number, number>();
  private readonly took = new Map<number, number>();

  constructor(batch_size: number) {
    this.free = new Array<number>(batch_size).fill(performance.now());
  }

  /** Passes the core's events on, as they come and not in order of the samples, and looks at the clock. */
  async *watch(events: AsyncIterable<SampleEvent>): AsyncGenerator<SampleEvent, void, void> {
    for await (const event of events) {
      const now = performance.now();
      const began = this.began.get(event.sample) ?? this.free.shift() ?? now;
      this.began.set(event.sample, began);
      if (event.type === "end") {
        this.began.delete(event.sample);
        this.took.set(event.sample, (now - began) / 1000);
        this.free.push(now);
      }
      yield event;
    }
  }

  /** The seconds that a sample which has ended took; they are forgotten. */
  take(sample: number): number {
    const seconds = this.took.get(sample) ?? Number.NaN;
    this.took.delete(sample);
    return seconds;
  }
}
