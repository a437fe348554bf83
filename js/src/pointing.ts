import type { Card } from "./card";
import { drag } from "./drag";
import { Selection } from "./selection";
import { Walking } from "./walking";

const STILL = 4; // pixels that a pointer may move in a click
const FRESH = 2500; // ms after which a pointer that rests holds nothing
const WHEEL = 0.0015; // of the steps in view, to a pixel of the wheel

/** Where the reader points in a panel, by pointer or keyboard, and what that does. */
export class Pointing {
  /** The step, and the place among the values of a row. */
  at: number | null = null;
  row: number | null = null;
  private moved = Number.NEGATIVE_INFINITY;
  private gripped: [number, number] = [0, 0];
  private heldBefore: number | null = null;
  private readonly selection: Selection;

  /** `knob` moves the step held. */
  constructor(
    private readonly card: Card,
    knob: HTMLElement,
  ) {
    const { root, box } = card;
    this.selection = new Selection(card);
    box.addEventListener("pointermove", (event) => this.point(event));
    box.addEventListener("pointerleave", () => this.leave());
    box.addEventListener("dblclick", () => this.again());
    // Before the figure sees it, which would draw a box.
    box.addEventListener("pointerdown", (event) => this.grip(event), { capture: true });
    box.addEventListener("click", (event) => this.click(event));
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    knob.addEventListener("pointerdown", (event) => this.carry(event));
    root.addEventListener("focusout", () => this.leave());
    const walking = new Walking(card, this);
    root.addEventListener("keydown", (event) => walking.key(event));
  }

  /** Whether the reader points at this moment. */
  isFresh(): boolean {
    return performance.now() - this.moved < FRESH;
  }

  forget(): void {
    this.moved = Number.NEGATIVE_INFINITY;
  }

  /** Keep the task pointed at in front; whether there is one. */
  pin(): boolean {
    const task = this.row === null ? null : (this.card.picture.pins?.(this.row) ?? null);
    if (task !== null) this.card.host.pin(task);
    return task !== null;
  }

  freshen(): void {
    this.moved = performance.now();
  }

  private point(event: PointerEvent): void {
    const under = this.under(event);
    this.freshen();
    this.row = under?.row ?? null;
    // Over a spectrum there are no steps; it goes on showing the one that the keyboard chose.
    if (under?.step !== null) this.at = under ? Math.round(under.step) : null;
    this.card.host.point(this.at);
  }

  private under(event: MouseEvent) {
    const box = this.card.box.getBoundingClientRect();
    return this.card.plot?.under(event.clientX - box.left, event.clientY - box.top);
  }

  private leave(): void {
    this.forget();
    this.row = null;
    this.at = null;
    this.card.host.point(null);
    this.card.host.dirty(this.card);
  }

  /** Keep the task under the pointer in front, or else the step; a drag is no click. */
  private click(event: MouseEvent): void {
    const [x, y] = this.gripped;
    if (Math.hypot(event.clientX - x, event.clientY - y) >= STILL) return;
    const { host, picture } = this.card;
    const under = this.under(event);
    if (event.detail <= 1) this.heldBefore = host.reader.held;
    if (this.pin() || !picture.alongSteps || event.shiftKey) return;
    if (typeof under?.step === "number") host.hold(Math.round(under.step));
  }

  /** A double click shows all again, and holds nothing that was not held before. */
  private again(): void {
    this.card.host.hold(this.heldBefore);
    this.card.unzoom();
  }

  /** Where the pointer went down: turn what can be turned, select steps with Shift. */
  private grip(event: PointerEvent): void {
    this.gripped = [event.clientX, event.clientY];
    const { picture, plot, host } = this.card;
    if (event.button !== 0) return;
    if (picture.turn) {
      drag(event, (right, up) => {
        this.card.picture.turn?.(right, up);
        this.card.plot?.stale();
        host.dirty(this.card);
      });
    } else if (event.shiftKey && picture.alongSteps && plot) {
      event.stopPropagation();
      event.preventDefault(); // no text is marked
      this.selection.begin(event);
    }
  }

  /** Move the step held along the axis. */
  private carry(event: PointerEvent): void {
    event.preventDefault();
    const left = this.card.box.getBoundingClientRect().left;
    let x = event.clientX;
    drag(event, (right) => {
      x += right;
      const step = this.card.plot?.stepAt(x - left);
      if (step !== undefined) this.card.host.hold(Math.round(step));
    });
  }

  /** With Ctrl the wheel zooms the steps, with Shift it moves along them; else it is the page's. */
  private wheel(event: WheelEvent): void {
    const { plot, picture, host } = this.card;
    const step = this.under(event)?.step;
    if (!plot || !picture.alongSteps || typeof step !== "number") return;
    const { start, end } = plot.range("x_range");
    const by = (event.deltaY || event.deltaX) * (event.deltaMode ? 16 : 1) * WHEEL;
    if (event.ctrlKey || event.metaKey) {
      const factor = Math.exp(by);
      host.look([step + (start - step) * factor, step + (end - step) * factor]);
    } else if (event.shiftKey && host.reader.window) {
      const [first, last] = host.reader.span();
      const move = Math.max(first - start, Math.min(last - end, by * (end - start)));
      host.look([start + move, end + move]);
    } else return;
    event.preventDefault();
  }
}
