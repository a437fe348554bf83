import type { Card } from "./card";
import { button, element } from "./dom";

/** The buttons of a card: one stop for the Tab key, arrow keys go from one to the next. */
export class CardTools {
  readonly root: HTMLElement;
  private readonly reset: HTMLButtonElement;
  private readonly toggle: HTMLButtonElement;
  private readonly enlarge: HTMLButtonElement;

  constructor(private readonly card: Card) {
    const { title } = card.spec;
    const save = button("⤓", `save an image of ${title}`, () => {});
    save.title = "save an image: PNG; Shift+click or Shift+Space: SVG";
    save.addEventListener("click", (event) => card.save(event.shiftKey ? "svg" : "png"));
    this.enlarge = button("⤢", `enlarge ${title}`, () => card.host.grid.enlarge(card, !card.large));
    this.enlarge.title = "enlarge, or as usual";
    const hide = button("×", `hide this panel: ${title}`, () => card.host.grid.hide(card));
    this.reset = button("↺", "show all again", () => card.unzoom());
    this.toggle = button("log", `logarithmic scale of ${title}`, () => card.flip());
    this.toggle.hidden = Object.keys(card.spec.forms).length < 2;
    const more = element("span", { class: "nbtk-more" }, save, this.enlarge, hide);
    const label = `tools of ${title}`;
    this.root = element(
      "span",
      { class: "nbtk-tools", role: "toolbar", "aria-label": label },
      more,
      this.reset,
      this.toggle,
    );
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("focusin", (event) => this.stop(event.target as HTMLElement));
    this.show();
  }

  /** As the card is now. */
  show(): void {
    this.reset.hidden = !this.card.plot?.zoomed;
    this.toggle.setAttribute("aria-pressed", String(this.card.scale === "log"));
    this.enlarge.setAttribute("aria-pressed", String(this.card.large));
    const current = this.buttons().find((one) => one.tabIndex === 0 && one === document.activeElement);
    this.stop(current ?? this.buttons()[0]!);
  }

  private buttons(): HTMLButtonElement[] {
    return [...this.root.querySelectorAll<HTMLButtonElement>("button:not([hidden])")];
  }

  /** The button that the Tab key leads to. */
  private stop(at: HTMLElement): void {
    for (const one of this.root.querySelectorAll("button")) one.tabIndex = one === at ? 0 : -1;
  }

  private key(event: KeyboardEvent): void {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.altKey) return;
    const buttons = this.buttons();
    const at = buttons.indexOf(event.target as HTMLButtonElement) + by;
    buttons[(at + buttons.length) % buttons.length]?.focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
