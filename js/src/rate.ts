import { button, element, onEnter } from "./dom";
import { number } from "./format";
import type { Orders } from "./orders";
import type { Session } from "./session";

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const ALL = "all";
const FEW = 3;

interface Ask {
  rate: number;
  after: object | null;
}

/** A number as people write it: with a decimal comma, with a minus that is one, with spaces; null if it is none. */
export function parsed(text: string): number | null {
  const plain = text.replace(/[\s\u2009\u202f\u00a0]/g, "").replaceAll("−", "-");
  const pointed = /^[^.]*,[^.,]*$/.test(plain) ? plain.replace(",", ".") : plain;
  const value = NUMBER.test(pointed) ? Number(pointed) : Number.NaN;
  return Number.isFinite(value) ? value : null;
}

/** The learning rate now, and a place to set another. What is typed is never overwritten. */
export class RateControls {
  readonly root: HTMLElement;
  private readonly now = element("output", { class: "nbtk-rate" });
  private readonly groups = element("select", { "aria-label": "parameter group" });
  private readonly input = element("input", {
    class: "nbtk-new-rate",
    type: "text",
    inputmode: "decimal",
    placeholder: "new",
    "aria-label": "new learning rate",
    autocomplete: "off",
    spellcheck: "false",
  });
  /** Rates asked for, which a second ×2 builds on; forgotten once the loop has answered and told its own (`after`). */
  private readonly asked = new Map<number, Ask>();

  constructor(
    private readonly session: Session,
    private readonly orders: Orders,
    private readonly when: (act: () => void) => void,
  ) {
    const set = button("set", "set the learning rate", () => this.typed());
    const half = button("×½", "halve the learning rate", () => this.times(0.5));
    const twice = button("×2", "double the learning rate", () => this.times(2));
    onEnter(this.input, () => this.typed());
    this.groups.addEventListener("change", () => this.show());
    this.root = element(
      "span",
      { class: "nbtk-order", role: "group", "aria-label": "learning rate" },
      element("span", {}, "learning rate ", this.now),
      this.groups,
      this.input,
      set,
      half,
      twice,
    );
  }

  show(): void {
    for (const [group, { after }] of this.asked)
      if (after && after !== this.session.status) this.asked.delete(group);
    const count = this.session.controls?.groups ?? 1;
    if (this.groups.options.length !== count + 1) {
      const options = Array.from({ length: count }, (_, i) => new Option(`group ${i}`, String(i)));
      this.groups.replaceChildren(new Option("all groups", ALL), ...options);
    }
    this.groups.hidden = count < 2;
    const told = this.session.status?.lr ?? [];
    const rates = this.chosen().map((group) => (told[group] == null ? "unknown" : number(told[group])));
    const words = new Set(rates).size === 1 ? rates.slice(0, 1) : rates;
    const text = words.slice(0, FEW).join(", ") + (words.length > FEW ? " …" : "") || "unknown";
    if (this.now.textContent !== text) this.now.textContent = text;
  }

  /** The groups chosen. */
  private chosen(): number[] {
    const { value } = this.groups;
    return value && value !== ALL ? [Number(value)] : (this.session.status?.lr ?? []).map((_, i) => i);
  }

  private typed(): void {
    const text = this.input.value;
    const rate = parsed(text);
    if (rate === null || rate < 0) {
      const got = text.trim() ? `${text.trim().slice(0, 20)} is not one` : "the field is empty";
      this.orders.say(`a learning rate is a number from 0 up, such as 0.01 or 1e-2: ${got}`);
      this.input.focus();
      return;
    }
    this.when(() => {
      const chosen = this.groups.value;
      const group = chosen && chosen !== ALL ? Number(chosen) : null;
      this.order(rate, group, () => {
        if (this.input.value === text) this.input.value = "";
      });
    });
  }

  private times(factor: number): void {
    const told = this.session.status?.lr ?? [];
    const rates = this.chosen().map(
      (group) => [group, this.asked.get(group)?.rate ?? told[group] ?? null] as const,
    );
    if (!rates.length || rates.some(([, rate]) => rate === null)) {
      this.orders.say("the learning rate now is not known: type the one that is wanted");
      return;
    }
    const one = new Set(rates.map(([, rate]) => rate)).size === 1 && rates.length > 1;
    this.when(() => {
      if (one) this.order(factor * rates[0]![1]!, null);
      else for (const [group, rate] of rates) this.order(factor * rate!, group);
    });
  }

  /** Ask for a rate of one group, or of all. */
  private order(rate: number, group: number | null, done?: () => void): void {
    const groups = group === null ? (this.session.status?.lr ?? []).map((_, i) => i) : [group];
    const mine = groups.map((one) => ({ group: one, ask: { rate, after: null } as Ask }));
    for (const { group, ask } of mine) this.asked.set(group, ask);
    const label = `learning rate ${number(rate)}${group === null ? "" : ` of group ${group}`}`;
    this.orders.ask("lr", { rate, group }, label, (carried) => {
      if (carried) done?.();
      for (const { group, ask } of mine) {
        ask.after = this.session.status;
        if (!carried && this.asked.get(group) === ask) this.asked.delete(group);
      }
    });
    this.show();
  }
}
