import type { Card } from "./card";
import { drag } from "./drag";

const LEAST = 6; // pixels before a press is a drag

/** Take a card by its header and put it in the place of another. */
export function movable(card: Card, among: () => Card[]): void {
  card.header.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (event.target as HTMLElement).closest("button")) return;
    new Move(card, among()).begin(event);
  });
}

class Move {
  private over: Card | null = null;
  private way = 0;
  private given = false;

  constructor(
    private readonly card: Card,
    private readonly cards: Card[],
  ) {}

  begin(event: PointerEvent): void {
    const key = (pressed: KeyboardEvent) => {
      if (pressed.key !== "Escape") return;
      this.given = true;
      this.point(null);
      pressed.preventDefault();
      pressed.stopPropagation();
    };
    const mark = (begun: Event) => begun.preventDefault(); // no text is marked on the way
    addEventListener("keydown", key, { capture: true });
    addEventListener("selectstart", mark, { capture: true });
    drag(
      event,
      (right, up, to) => {
        this.way += Math.abs(right) + Math.abs(up);
        if (this.way >= LEAST && !this.given) this.point(this.under(to));
      },
      (cancelled) => {
        removeEventListener("keydown", key, { capture: true });
        removeEventListener("selectstart", mark, { capture: true });
        const { over } = this;
        this.point(null);
        this.card.root.classList.remove("nbtk-carried");
        if (over && !cancelled && !this.given) this.card.host.grid.place(this.card, over);
      },
    );
  }

  /** Mark the card whose place would be taken. */
  private point(over: Card | null): void {
    this.card.root.classList.toggle("nbtk-carried", !this.given);
    if (over === this.over) return;
    this.over?.root.classList.remove("nbtk-target", "nbtk-later");
    this.over = over;
    if (!over) return;
    const later = this.cards.indexOf(over) > this.cards.indexOf(this.card);
    over.root.classList.add("nbtk-target");
    over.root.classList.toggle("nbtk-later", later);
  }

  private under({ clientX, clientY }: PointerEvent): Card | null {
    const found = this.cards.find(({ root }) => {
      const { left, right, top, bottom } = root.getBoundingClientRect();
      return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
    });
    return found && found !== this.card ? found : null;
  }
}
