import type { Card } from "./card";
import type { Pointing } from "./pointing";
import { stepsOf } from "./reading";

const TURN = 12; // pixels that an arrow key stands for

/** The keys of a card: arrows walk along samples and rows, Enter holds a step, Escape goes back to now. */
export class Walking {
  constructor(
    private readonly card: Card,
    private readonly pointing: Pointing,
  ) {}

  key(event: KeyboardEvent): void {
    const { card, pointing } = this;
    if (event.target !== card.root || event.ctrlKey || event.metaKey) return;
    if (event.altKey) {
      if (!this.shift(event.key)) return;
    } else if (event.key === "Enter" && !event.shiftKey) this.enter();
    else if (this.turned(event.key)) card.host.dirty(card);
    else if (!this.walk(event)) return;
    if (event.key === "Escape") pointing.forget();
    event.preventDefault();
    event.stopPropagation();
  }

  /** Keep a task in front, or hold the step that was walked to; on the step held, let it go. */
  private enter(): void {
    const { card, pointing } = this;
    const { held } = card.host.reader;
    const step = pointing.at ?? held ?? stepsOf(card.spec, card.store).at(-1) ?? null;
    if (pointing.pin()) pointing.freshen();
    else card.host.hold(step === held ? null : step);
  }

  private shift(key: string): boolean {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[key];
    if (by) this.card.host.grid.shift(this.card, by);
    return by !== undefined;
  }

  /** Turn the picture by an arrow key, if it can be turned. */
  private turned(key: string): boolean {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    const { picture, plot } = this.card;
    if (!by || !picture.turn) return false;
    picture.turn(TURN * by[0]!, TURN * by[1]!);
    plot?.stale();
    return true;
  }

  /** Along the samples and the rows; Home and End go to the ends, Escape back to now. */
  private walk({ key, shiftKey }: KeyboardEvent): boolean {
    const { card, pointing } = this;
    const { host, picture, store } = card;
    const steps = stepsOf(card.spec, store);
    const last = steps.length - 1;
    const from = pointing.at ?? host.reader.held;
    const here = from === null ? last + 1 : steps.findIndex((step) => step >= from);
    const moves: Record<string, number> = {
      ArrowLeft: Math.max(0, (here < 0 ? last + 1 : here) - (shiftKey ? 10 : 1)),
      ArrowRight: Math.min(last, here + (shiftKey ? 10 : 1)),
      Home: 0,
      End: last,
    };
    const row = picture.walk?.(key, shiftKey, pointing.row, store, from);
    if (key === "Escape") {
      pointing.at = pointing.row = null;
      host.point(null);
      host.hold(null);
      return true;
    } else if (last < 0) return false;
    else if (row !== undefined) {
      pointing.row = row;
      pointing.at ??= picture.alongSteps ? (host.reader.held ?? steps[last]!) : null;
    } else if (key in moves) pointing.at = steps[Math.min(last, Math.max(0, moves[key]!))]!;
    else return false;
    host.point(pointing.at);
    return true;
  }
}
