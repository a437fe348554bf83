/** Longest time a drawing may take without being called for less often, in ms. */
const QUICK = 10;
const REST = 4;
const SLOWEST = 250; // of one drawing, as taken into account: there is one every 1.25 s at least

/** Calls for a drawing once per animation frame, less often when drawing is slow. */
export class Pace {
  private asked = 0;
  private begun = 0;
  private took = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly draw: () => void) {}

  /** Draw soon; asking again before that changes nothing. */
  ask(): void {
    if (this.asked || this.timer !== null) return;
    const rest = this.took > QUICK ? this.begun + this.took * (1 + REST) - performance.now() : 0;
    if (rest <= 0) {
      this.asked = requestAnimationFrame(() => this.run());
      return;
    }
    this.timer = setTimeout(() => {
      this.timer = null;
      this.asked = requestAnimationFrame(() => this.run());
    }, rest);
  }

  /** A figure has reached the screen: the drawing took at least until now. */
  painted(): void {
    if (this.begun) this.took = Math.min(SLOWEST, performance.now() - this.begun);
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    cancelAnimationFrame(this.asked);
  }

  private run(): void {
    this.asked = 0;
    this.begun = performance.now();
    this.draw();
    this.took = Math.min(SLOWEST, performance.now() - this.begun);
  }
}
