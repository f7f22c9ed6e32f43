/** Undo and redo of whole states: nothing that was on the page is lost. */

/** Letters typed within this many milliseconds of each other are one step. */
const ONE_STEP = 1000;
const MOST = 200;

/** The states of the page, oldest first, and the one that is shown. */
export class History<State> {
  private past: State[];
  private future: State[] = [];
  private typedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private state: State,
    past: readonly State[] = [],
  ) {
    this.past = [...past];
  }

  get present(): State {
    return this.state;
  }

  /** What can be undone, latest last. */
  get earlier(): readonly State[] {
    return this.past;
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** Adds a step. */
  push(state: State): void {
    this.past = [...this.past, this.state].slice(-MOST);
    this.state = state;
    this.future = [];
    this.typedAt = Number.NEGATIVE_INFINITY;
  }

  /** Adds a step made by typing: it joins the one before while typing continues. */
  type(state: State, now: number): void {
    if (now - this.typedAt > ONE_STEP) this.push(state);
    else this.replace(state);
    this.typedAt = now;
  }

  /** Replaces the present, without a new step. */
  replace(state: State): void {
    this.state = state;
  }

  /** Drops the present as if it had never been. */
  drop(): void {
    this.state = this.past.pop() ?? this.state;
  }

  undo(): void {
    const state = this.past.pop();
    if (state === undefined) return;
    this.future.push(this.state);
    this.state = state;
    this.typedAt = Number.NEGATIVE_INFINITY;
  }

  redo(): void {
    const state = this.future.pop();
    if (state === undefined) return;
    this.past.push(this.state);
    this.state = state;
    this.typedAt = Number.NEGATIVE_INFINITY;
  }
}
