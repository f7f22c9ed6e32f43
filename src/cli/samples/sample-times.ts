import type { SampleEvent } from "../../sampling/sample.js";

/** Measures how long the samples of a batch take, each from when its place in the batch became free. */
export class SampleTimes {
  /** When the free places became free. */
  private readonly free: number[];
  private readonly began = new Map<number, number>();
  private readonly took = new Map<number, number>();

  constructor(batch_size: number) {
    this.free = new Array<number>(batch_size).fill(performance.now());
  }

  /** Passes on events in the order they come, not that of the samples, and notes the time. */
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

  /** The seconds that a finished sample took; may be asked once. */
  take(sample: number): number {
    const seconds = this.took.get(sample) ?? Number.NaN;
    this.took.delete(sample);
    return seconds;
  }
}
