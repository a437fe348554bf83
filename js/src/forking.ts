import { button, element, onEnter } from "./dom";
import { number, whole } from "./format";
import type { Orders } from "./orders";
import { parsed } from "./rate";
import type { Session } from "./session";

const STEPS = "100";
const MAKE = "fork the training";
const END = "end the fork";
const MEANS =
  "train a twin from here; then this training goes on as if there had been none. What the code writes to files, the twin writes too";

/** Train a twin of the running loop: so many steps, at another learning rate. */
export class ForkControls {
  readonly root: HTMLElement;
  private readonly steps = element("input", {
    class: "nbtk-fork-steps",
    type: "number",
    min: "1",
    step: "1",
    placeholder: STEPS,
    "aria-label": "steps of the fork",
  });
  private readonly rate = element("input", {
    class: "nbtk-fork-rate",
    type: "text",
    inputmode: "decimal",
    placeholder: "the same",
    "aria-label": "learning rate of the fork",
    autocomplete: "off",
    spellcheck: "false",
  });
  private readonly make = button("fork", MAKE, () => this.press());

  constructor(
    private readonly session: Session,
    private readonly orders: Orders,
    private readonly when: (act: () => void) => void,
  ) {
    this.make.classList.add("nbtk-fork");
    onEnter(this.steps, () => this.fork());
    onEnter(this.rate, () => this.fork());
    this.root = element(
      "span",
      { class: "nbtk-order", role: "group", "aria-label": "fork" },
      this.make,
      this.steps,
      element("span", {}, "steps, rate"),
      this.rate,
    );
  }

  /** `deaf`: why nothing can be asked now. */
  show(deaf: string): void {
    const cannot = this.session.controls?.fork;
    this.root.hidden = cannot === undefined;
    const word = this.making ? "end fork" : "fork";
    if (this.make.textContent !== word) this.make.textContent = word;
    this.make.setAttribute("aria-label", this.making ? END : MAKE);
    const reason = deaf || this.cannot;
    this.make.setAttribute("aria-disabled", String(Boolean(reason)));
    this.make.title = reason || (this.making ? "end the fork; this training goes on" : MEANS);
  }

  private get making(): boolean {
    return Boolean(this.session.status?.forking);
  }

  private get cannot(): string {
    const { fork } = this.session.controls ?? {};
    return fork ? `cannot be forked: ${fork}` : "";
  }

  /** One button begins a fork and ends it. */
  private press(): void {
    if (this.making) this.when(() => this.orders.ask("end_fork", {}, "end of the fork"));
    else this.fork();
  }

  private fork(): void {
    if (this.cannot) {
      this.orders.say(this.cannot);
      return;
    }
    const steps = Number(this.steps.value || STEPS);
    if (!Number.isInteger(steps) || steps < 1) {
      this.orders.say("a fork has a whole number of steps, 1 or more");
      this.steps.focus();
      return;
    }
    const text = this.rate.value.trim();
    const lr = parsed(text);
    if (text && (lr === null || lr < 0)) {
      this.orders.say(
        `the learning rate of a fork is a number from 0 up, or empty for the same: ${text.slice(0, 20)} is not one`,
      );
      this.rate.focus();
      return;
    }
    const label = `fork of ${whole(steps)} ${steps > 1 ? "steps" : "step"}${lr === null ? "" : ` at ${number(lr)}`}`;
    this.when(() => this.orders.ask("fork", lr === null ? { steps } : { steps, lr }, label));
  }
}
