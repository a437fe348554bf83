import type { Ends } from "./plane";

/** What the reader looks at: the step under the pointer, the step held, and the steps in view. */
export class Reader {
  pointed: number | null = null;
  held: number | null = null;
  /** First and last of the steps in view; null for all. */
  window: Ends | null = null;

  /** `span` tells first and last step of the run. */
  constructor(readonly span: () => Ends) {}

  /** The step that all panels show; null for now. */
  get step(): number | null {
    return this.pointed ?? this.held;
  }

  /** The last step of the run. */
  last(): number {
    return this.span()[1];
  }

  point(step: number | null): void {
    this.pointed = this.within(step);
  }

  hold(step: number | null): void {
    this.held = this.within(step);
  }

  /** Look at some steps only, or at all; whether that is another view than before. */
  look(wanted: Ends | null): boolean {
    const before = String(this.window);
    this.window = wanted && this.cut(wanted);
    return String(this.window) !== before;
  }

  private within(step: number | null): number | null {
    if (step === null || !Number.isFinite(step)) return null;
    const [first, last] = this.span();
    return Math.min(last, Math.max(first, step));
  }

  /** A window inside the run, a step wide or more; null for one that shows all of it, or none. */
  private cut([a, b]: Ends): Ends | null {
    const [first, last] = this.span();
    const [from, to] = [Math.max(first, Math.min(a, b)), Math.min(last, Math.max(a, b))];
    if (!(from < to) || (from <= first && to >= last)) return null;
    if (to - from >= 1) return [from, to];
    const start = Math.max(first, Math.min(last - 1, (from + to - 1) / 2));
    return [start, Math.min(last, start + 1)];
  }
}
