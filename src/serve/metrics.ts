/** A histogram's upper bounds, in seconds. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Counts values up to each bound. */
class Histogram {
  readonly #counts = new Array<number>(SECONDS.length).fill(0);
  #sum = 0;
  #count = 0;

  observe(value: number): void {
    for (let i = SECONDS.length - 1; i >= 0 && value <= SECONDS[i]; i--) this.#counts[i]++;
    this.#sum += value;
    this.#count++;
  }

  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** The histogram in Prometheus's format. */
  lines(name: string): string[] {
    return [
      ...SECONDS.map((bound, i) => `${name}_bucket{le="${bound}"} ${this.#counts[i]}`),
      `${name}_bucket{le="+Inf"} ${this.#count}`,
      `${name}_sum ${this.#sum}`,
      `${name}_count ${this.#count}`,
    ];
  }
}

/** A gauge, a number of the moment, or a counter, which only rises. */
export interface Measured {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter";
  readonly value: number;
}

/** The server's metrics for Prometheus. */
export class Metrics {
  readonly firstToken = new Histogram();
  readonly perToken = new Histogram();
  readonly request = new Histogram();
  readonly #answers = new Map<number, number>();

  /** Counts an answer. */
  answered(status: number): void {
    this.#answers.set(status, (this.#answers.get(status) ?? 0) + 1);
  }

  /** All metrics in Prometheus's text format. @param measured metrics from elsewhere */
  text(measured: readonly Measured[]): string {
    const head = (name: string, type: string, help: string): string[] => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
    ];
    const histogram = (name: string, help: string, values: Histogram): string[] => [
      ...head(name, "histogram", help),
      ...values.lines(name),
    ];
    const lines = [
      ...head("gpt2_requests_total", "counter", "Requests answered, by HTTP status."),
      ...[...this.#answers].map(([status, count]) => `gpt2_requests_total{status="${status}"} ${count}`),
      ...measured.flatMap(({ name, type, help, value }) => [...head(name, type, help), `${name} ${value}`]),
      ...histogram("gpt2_request_seconds", "Time from a request for completions to its end.", this.request),
      ...histogram(
        "gpt2_time_to_first_token_seconds",
        "Time from a request to its first token.",
        this.firstToken,
      ),
      ...histogram("gpt2_time_per_token_seconds", "Time between two tokens of a text.", this.perToken),
    ];
    return `${lines.join("\n")}\n`;
  }
}

/** The process's metrics, as Prometheus's own clients report them. */
export function processMetrics(): Measured[] {
  const { user, system } = process.cpuUsage();
  return [
    {
      name: "process_resident_memory_bytes",
      type: "gauge",
      help: "Memory in use.",
      value: process.memoryUsage.rss(),
    },
    {
      name: "process_cpu_seconds_total",
      type: "counter",
      help: "Processor time used.",
      value: (user + system) / 1e6,
    },
    {
      name: "process_start_time_seconds",
      type: "gauge",
      help: "Start, in seconds since 1970.",
      value: Date.now() / 1000 - process.uptime(),
    },
  ];
}
