import type { Session } from "./session";
import type { Ack } from "./types";

const PATIENCE = 3000; // ms
const AWAY = "interrupt the kernel to stop, or train in a background thread";
export const SILENT = `no answer yet: a step may be long, or this front end holds messages back while a cell runs; ${AWAY}`;
export const HELD = `no answer, though steps go on: this front end holds messages back while a cell runs; ${AWAY}`;

interface Order {
  id: string;
  label: string;
  state: "asked" | Ack["state"];
  text: string;
  /** The step that the page knew of when it was asked. */
  step: number;
  /** What to do when it has been carried out, or refused. */
  over?: ((done: boolean) => void) | undefined;
  /** What to say while it waits for a step that a paused loop does not make. */
  atRest: string;
  /** Whether a step was asked for since. */
  stepping: boolean;
}

const STEPS = ["advance", "resume"];
let made = 0;

/** A word that no other page has; a page without https has no `crypto.randomUUID`. */
const fresh = (): string => `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}-${++made}`;

/** What the reader asked of the running loop, and what came of it. */
export class Orders {
  /** One line on the last of them. */
  line = "";
  private readonly open = new Map<string, Order>();
  private last: Order | null = null;
  /** Carried out after something else was asked or said. */
  private late: Order[] = [];
  private said = "";
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly end: () => void;

  constructor(
    private readonly session: Session,
    private readonly onChange: () => void,
  ) {
    this.end = session.onAck((ack) => this.answered(ack));
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.end();
  }

  /** Send a command; `label` names it in the line, `atRest` says what it waits for in a paused loop. */
  ask(what: string, fields: object, label: string, over?: (done: boolean) => void, atRest = ""): void {
    const order: Order = {
      id: fresh(),
      label,
      state: "asked",
      text: "",
      step: this.step(),
      over,
      atRest,
      stepping: false,
    };
    if (STEPS.includes(what)) this.expect(true);
    this.open.set(order.id, order);
    this.last = order;
    this.late = [];
    try {
      this.session.send?.({ ...fields, op: "command", id: order.id, what });
      this.write();
      this.wait();
    } catch {
      this.close(order, "refused", "the kernel can not be reached");
    }
  }

  /** Say something that no command is about. */
  say(text: string): void {
    this.last = null;
    this.late = [];
    this.said = text;
    this.write();
  }

  private answered({ id, state, text }: Ack): void {
    const order = this.open.get(id);
    if (!order) return; // of another page, or another view
    if (state === "queued") {
      order.state = state;
      this.write();
      this.wait();
    } else this.close(order, state, String(text ?? ""));
  }

  private close(order: Order, state: "done" | "refused", text: string): void {
    this.open.delete(order.id);
    Object.assign(order, { state, text });
    order.over?.(state === "done");
    if (state === "refused") {
      this.last = order;
      this.expect(false);
    } else if (order !== this.last && order.atRest) this.late.push(order);
    this.write();
    this.wait();
  }

  /** After a while without an answer say what may be the matter; steps that go on tell one cause from the other. */
  private wait(): void {
    clearTimeout(this.timer);
    const asked = [...this.open.values()].filter((order) => order.state === "asked");
    if (!asked.length) return;
    this.timer = setTimeout(() => {
      this.put(this.step() > Math.min(...asked.map((order) => order.step)) + 1 ? HELD : SILENT);
      this.wait();
    }, PATIENCE);
  }

  private step(): number {
    return this.session.status?.step ?? 0;
  }

  private write(): void {
    const others = [...this.open.values()].filter((one) => one !== this.last);
    const measuring = others.filter(({ state, atRest }) => state === "queued" && atRest);
    const waiting = this.last ? others.length - measuring.length : 0;
    const first = this.last ? this.word(this.last) : this.said;
    const more = waiting ? ` (${waiting} more waiting)` : "";
    const rest = [...this.late, ...measuring].map((one) => this.word(one));
    this.put([first + more, ...rest].filter(Boolean).join("; "));
  }

  /** What an order has come to. */
  private word(order: Order): string {
    const { label, state, text, atRest } = order;
    if (this.rests(order)) return atRest;
    if (state === "done") return text || `${label}: done`;
    if (state === "refused") return `${label}: refused${text && `: ${text}`}`;
    const waits = state === "queued" && (!this.paused || order.stepping);
    return `${label}: ${waits ? "waits for the end of this step" : "asked"}`;
  }

  /** Whether it waits for a step that nobody makes. */
  private rests({ state, atRest, stepping }: Order): boolean {
    return state === "queued" && atRest !== "" && !stepping && this.paused;
  }

  /** A step was asked for, or there will be none. */
  private expect(coming: boolean): void {
    for (const order of this.open.values()) order.stepping = coming;
  }

  private get paused(): boolean {
    return this.session.status?.state === "paused";
  }

  private put(text: string): void {
    if (text === this.line) return;
    this.line = text;
    this.onChange();
  }
}
