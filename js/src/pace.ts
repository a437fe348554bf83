/** Longest time a drawing may take without being called for less often, in ms. */
const QUICK = 10;
const REST = 4;
const SLOWEST = 250; // of one drawing, as taken into account: there is one every 1.25 s at least

/** Calls for a drawing once per animation frame, less often when drawing is slow. */
export class Pace {
  private asked = 0;
  private begun = 0;
  private spent = 0;
  private seen = 0;
  private going = false;
  private timer: ReturnType<typeof setTimeout> | null = null;

  /** `draw` gives whether there is more of the same drawing, for the next frame. */
  constructor(private readonly draw: () => boolean) {}

  /** Draw soon; asking again before that changes nothing. */
  ask(): void {
    if (this.asked || this.timer !== null) return;
    const took = Math.min(SLOWEST, this.spent);
    const rest = took > QUICK ? this.begun + took * (1 + REST) - performance.now() : 0;
    if (rest <= 0) {
      this.asked = requestAnimationFrame(() => this.run());
      return;
    }
    this.timer = setTimeout(() => {
      this.timer = null;
      this.asked = requestAnimationFrame(() => this.run());
    }, rest);
  }

  /** A figure has reached the screen: that is part of the drawing. */
  painted(): void {
    if (this.begun) this.count();
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    cancelAnimationFrame(this.asked);
  }

  private run(): void {
    this.asked = 0;
    const now = performance.now();
    if (!this.going) [this.begun, this.spent] = [now, 0];
    this.seen = Math.max(this.seen, now);
    this.going = this.draw();
    this.count();
    if (this.going && !this.asked) this.asked = requestAnimationFrame(() => this.run());
  }

  /** Time spent in this frame, as far as it was not counted. */
  private count(): void {
    const now = performance.now();
    const frame = Number(document.timeline?.currentTime ?? this.seen);
    this.spent += Math.max(0, now - Math.max(frame, this.seen));
    this.seen = now;
  }
}
