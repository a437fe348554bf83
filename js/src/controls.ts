import { button, element, focused } from "./dom";
import { ForkControls } from "./forking";
import { MeasureControls } from "./measuring";
import { Orders } from "./orders";
import { RateControls } from "./rate";
import type { Session } from "./session";
import { RUNNING } from "./status";

const STRIDE = 10;
const GONE = "the kernel is gone: nothing can be asked of the loop";

/** What the reader can ask of the running loop, where there is one. */
export class Controls {
  readonly root = element("div", { class: "nbtk-controls" });
  private readonly bar = element("div", { class: "nbtk-bar", role: "group", "aria-label": "training" });
  /** What came of it; it takes the focus over from a bar that goes. */
  private readonly line = element("div", { class: "nbtk-line-of-orders", role: "status", tabindex: "-1" });
  private readonly orders: Orders;
  private readonly rate: RateControls;
  private readonly measure: MeasureControls;
  private readonly fork: ForkControls;
  private readonly hold = button("pause", "pause the training", () => this.pauseOrResume());
  private readonly stop = button("stop", "stop the training", () => this.doubt(true));
  /** Where there is little room, the rest of the bar is opened by this. */
  private readonly more = button("more", "learning rate and measuring", () => this.unfold());
  private readonly sure: HTMLElement;
  private readonly no = button("no", "no, go on", () => this.doubt(false));
  private reason = "";

  constructor(private readonly session: Session) {
    this.orders = new Orders(session, () => this.write());
    const when = (act: () => void) => this.when(act);
    this.rate = new RateControls(session, this.orders, when);
    this.measure = new MeasureControls(session, this.orders, when);
    this.fork = new ForkControls(session, this.orders, when);
    const yes = button("yes", "yes, stop the training", () => {
      this.doubt(false);
      this.ask("stop", {}, "stop");
    });
    this.sure = element("span", { class: "nbtk-order", role: "group" }, "stop training?", yes, this.no);
    this.sure.setAttribute("aria-label", "stop training?");
    this.sure.hidden = true;
    this.sure.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.doubt(false);
    });
    const advance = (steps: number) =>
      button(`+${steps}`, `make ${steps} ${steps > 1 ? "steps" : "step"}, then pause`, () =>
        this.ask("advance", { steps }, `${steps} ${steps > 1 ? "steps" : "step"}`),
      );
    this.hold.classList.add("nbtk-hold");
    this.more.classList.add("nbtk-unfold");
    this.more.setAttribute("aria-expanded", "false");
    const acts = [this.hold, advance(1), advance(STRIDE), this.stop, this.sure, this.more];
    const asks = [this.rate.root, this.fork.root, this.measure.root];
    this.bar.append(element("span", { class: "nbtk-order" }, ...acts), ...asks);
    this.root.append(this.bar, this.line);
    this.show();
  }

  dispose(): void {
    this.orders.dispose();
    this.root.remove();
  }

  /** Whether there is a loop to ask. */
  private get running(): boolean {
    const { controls, send, status } = this.session;
    return Boolean(controls && send && status && RUNNING.includes(status.state));
  }

  show(): void {
    const hidden = !this.running;
    if (hidden && this.bar.contains(focused(this.bar))) this.line.focus({ preventScroll: true });
    this.bar.hidden = hidden;
    if (hidden) return;
    const paused = this.session.status!.state === "paused";
    const word = paused ? "resume" : "pause";
    if (this.hold.textContent !== word) {
      this.hold.textContent = word;
      this.hold.classList.toggle("nbtk-held", paused);
      this.hold.setAttribute("aria-label", `${word} the training`);
      this.hold.title = this.reason || `${word} the training`;
    }
    this.rate.show();
    this.measure.show();
    this.able();
    this.fork.show(this.reason);
  }

  /** A button that can do nothing says why instead. */
  private able(): void {
    const reason = this.session.gone ? GONE : String(this.session.status?.deaf ?? "");
    if (reason === this.reason) return;
    this.reason = reason;
    this.bar.classList.toggle("nbtk-deaf", Boolean(reason));
    for (const one of this.bar.querySelectorAll("button")) {
      if (one === this.more) continue;
      one.setAttribute("aria-disabled", String(Boolean(reason)));
      one.title = reason || one.getAttribute("aria-label")!;
    }
    this.write();
  }

  private when(act: () => void): void {
    if (!this.reason) act();
    else this.write();
  }

  private ask(what: string, fields: object, label: string): void {
    this.when(() => this.orders.ask(what, fields, label));
  }

  private pauseOrResume(): void {
    const what = this.session.status?.state === "paused" ? "resume" : "pause";
    this.ask(what, {}, what);
  }

  /** Ask once more before the end, in place. */
  private doubt(asking: boolean): void {
    if (asking && this.reason) return;
    this.sure.hidden = !asking;
    this.stop.hidden = asking;
    (asking ? this.no : this.stop).focus();
  }

  private unfold(): void {
    const open = this.bar.classList.toggle("nbtk-unfolded");
    this.more.setAttribute("aria-expanded", String(open));
    this.more.textContent = open ? "less" : "more";
  }

  private write(): void {
    const text = this.reason || this.orders.line;
    // Once it has said something it keeps its place.
    if (text) this.line.classList.add("nbtk-used");
    if (this.line.textContent !== text) this.line.textContent = text;
  }
}
