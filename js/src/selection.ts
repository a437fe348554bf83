import type { Card } from "./card";
import { element } from "./dom";
import { drag } from "./drag";

const LEAST = 4; // pixels

/** Steps selected by a drag in a panel. */
export class Selection {
  private readonly area = element("div", { class: "nbtk-selection", hidden: "" });

  constructor(private readonly card: Card) {
    card.stage.append(this.area);
  }

  begin(event: PointerEvent): void {
    const { box, plot, host } = this.card;
    const from = event.clientX - box.getBoundingClientRect().left;
    let to = from;
    const frame = plot?.bounds;
    if (!plot || !frame || plot.stepAt(from) === undefined) return;
    const inside = (x: number) => Math.min(frame.left + frame.width, Math.max(frame.left, x));
    drag(
      event,
      (right) => {
        to += right;
        const [left, end] = [inside(Math.min(from, to)), inside(Math.max(from, to))];
        this.area.hidden = false;
        this.area.style.transform = `translate(${left}px, ${frame.top}px)`;
        this.area.style.width = `${end - left}px`;
        this.area.style.height = `${frame.height}px`;
      },
      () => {
        this.area.hidden = true;
        const ends = [plot.stepAt(inside(from)), plot.stepAt(inside(to))];
        if (Math.abs(to - from) >= LEAST && ends[0] !== undefined && ends[1] !== undefined)
          host.look([ends[0], ends[1]]);
      },
    );
  }
}
