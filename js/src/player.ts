const TICK = 50; // ms
const LENGTH = 8000; // ms, from the first step to the last
const JUMP = 1000; // ms between pictures for readers who want little motion
const LONGEST = 250; // ms that a tick counts for, so that slow drawing makes it slow and not jumpy

/** What a player is given and told. */
export interface Screen {
  /** Show this place between the first step and the last. */
  show(step: number): void;
  /** It plays, or no longer does. */
  turned(playing: boolean): void;
  /** Whether anyone can see it. */
  inSight(): boolean;
}

/** Goes through the steps in eight seconds, however many there are. */
export class Player {
  playing = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private spent = 0;
  private last = 0;

  constructor(private readonly screen: Screen) {}

  play(from: number, to: number): void {
    this.stop();
    this.playing = true;
    this.spent = 0;
    this.last = performance.now();
    this.screen.turned(true);
    this.screen.show(from);
    this.wait(from, to);
  }

  stop(): void {
    clearTimeout(this.timer);
    if (!this.playing) return;
    this.playing = false;
    this.screen.turned(false);
  }

  private wait(from: number, to: number): void {
    const pause = wantsLittleMotion() ? JUMP : TICK;
    this.timer = setTimeout(() => {
      const now = performance.now();
      if (this.screen.inSight()) {
        this.spent += Math.min(now - this.last, Math.max(LONGEST, pause));
        const share = Math.min(1, this.spent / LENGTH);
        this.screen.show(from + share * (to - from));
        if (share >= 1) return this.stop();
      }
      this.last = now;
      this.wait(from, to);
    }, pause);
  }
}

const wantsLittleMotion = () =>
  typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;
