import { button, element, unfold } from "./dom";
import type { PanelSpec } from "./types";

/** The list of all panels, open on demand, to show and hide them. */
export class Chooser {
  readonly opener = button("", "choose the panels shown", () => unfold(this.opener, this.root));
  readonly root = element("div", { class: "nbtk-chips", role: "group", "aria-label": "panels", hidden: "" });
  private readonly chips = element("span", { class: "nbtk-chips-list" });

  constructor(
    private readonly turn: (spec: PanelSpec, on: boolean) => void,
    reset: () => void,
  ) {
    const again = button("reset layout", "reset layout", reset);
    again.title = "usual order, sizes and choice of panels; all steps";
    this.root.append(this.chips, again);
    this.opener.setAttribute("aria-expanded", "false");
  }

  show(panels: PanelSpec[], shown: PanelSpec[]): void {
    const focused = (this.root.querySelector(":focus") as HTMLElement | null)?.dataset.chip;
    this.chips.replaceChildren(...panels.map((spec) => this.chip(spec, shown.includes(spec))));
    this.opener.textContent = `panels ${shown.length} of ${panels.length}`;
    if (focused !== undefined) this.focus(focused);
  }

  private focus(id: string): void {
    const same = [...this.chips.children].find((one) => (one as HTMLElement).dataset.chip === id);
    (same as HTMLElement | undefined)?.focus();
  }

  private chip(spec: PanelSpec, on: boolean): HTMLButtonElement {
    const chip = button(spec.title, `${on ? "hide" : "show"} ${spec.title}`, () => this.turn(spec, !on));
    chip.setAttribute("aria-pressed", String(on));
    chip.dataset.chip = spec.id;
    return chip;
  }
}
