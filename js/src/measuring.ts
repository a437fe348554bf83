import { button, element, onEnter } from "./dom";
import { whole } from "./format";
import type { Orders } from "./orders";
import type { Session } from "./session";
import type { Measurable } from "./types";

/** Measure something now, or more often. */
export class MeasureControls {
  readonly root: HTMLElement;
  private readonly choice = element("select", { "aria-label": "what to measure" });
  private readonly steps = element("input", {
    class: "nbtk-every",
    type: "number",
    min: "1",
    step: "1",
    "aria-label": "measure every so many steps",
  });
  private listed = "";

  constructor(
    private readonly session: Session,
    private readonly orders: Orders,
    private readonly when: (act: () => void) => void,
  ) {
    this.choice.addEventListener("change", () => this.chose());
    onEnter(this.steps, () => this.every());
    this.root = element(
      "span",
      { class: "nbtk-order", role: "group", "aria-label": "measure" },
      element("span", {}, "measure"),
      this.choice,
      button("now", "measure it now", () => this.now()),
      element("span", {}, "every"),
      this.steps,
      element("span", {}, "steps"),
      button("set", "measure it every so many steps", () => this.every()),
    );
  }

  show(): void {
    const { instruments } = this.session.controls ?? { instruments: [] };
    this.root.hidden = !instruments.length;
    const listed = JSON.stringify(instruments);
    // An open list must not change under the reader's hand.
    if (listed === this.listed || this.choice.matches(":focus")) return;
    this.listed = listed;
    const kept = this.choice.value;
    const kinds: [string, Measurable[]][] = [
      ["measured now and then", instruments.filter((one) => one.attached)],
      ["on request", instruments.filter((one) => !one.attached && !one.cannot)],
      ["not here", instruments.filter((one) => !one.attached && one.cannot)],
    ];
    const groups = kinds.flatMap(([label, list]) =>
      list.length ? [element("optgroup", { label }, ...list.map(option))] : [],
    );
    this.choice.replaceChildren(...groups);
    if (instruments.some(({ name }) => name === kept)) this.choice.value = kept;
    this.suggest();
  }

  private chosen(): Measurable | undefined {
    return this.session.controls?.instruments.find(({ name }) => name === this.choice.value);
  }

  private chose(): void {
    this.steps.value = "";
    this.suggest();
    const cannot = this.chosen()?.cannot;
    if (cannot) this.orders.say(`cannot be measured: ${cannot}`);
  }

  /** The cadence as it is, in the empty field. */
  private suggest(): void {
    this.steps.placeholder = String(this.chosen()?.every ?? "");
  }

  private now(): void {
    this.able(({ name }) =>
      this.orders.ask(
        "measure",
        { name },
        `measure ${name}`,
        undefined,
        `${name} is measured with the next step: +1 or resume`,
      ),
    );
  }

  private every(): void {
    const text = this.steps.value;
    const steps = Number(text);
    if (!Number.isInteger(steps) || steps < 1) {
      this.orders.say("how often is a whole number of steps, 1 or more");
      this.steps.focus();
      return;
    }
    this.able((one) =>
      this.orders.ask(
        "every",
        { name: one.name, steps },
        `${one.name} every ${whole(steps)} steps`,
        (carried) => {
          if (carried && this.steps.value === text) this.steps.value = "";
        },
      ),
    );
  }

  private able(act: (one: Measurable) => void): void {
    const one = this.chosen();
    if (one?.cannot) this.orders.say(`cannot be measured: ${one.cannot}`);
    else if (one) this.when(() => act(one));
  }
}

/** By the name that verbs and answers have, and what it is. */
const option = ({ title, name }: Measurable): HTMLOptionElement =>
  new Option(title && title !== name ? `${name}: ${title}` : String(name), String(name));
