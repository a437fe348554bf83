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
}

let made = 0;

/** A word that no other page has; a page without https has no `crypto.randomUUID`. */
const fresh = (): string => `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}-${++made}`;

/** What the reader asked of the running loop, and what came of it. */
export class Orders {
  /** One line on the last of them. */
  line = "";
  private readonly open = new Map<string, Order>();
  private last: Order | null = null;
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

  /** Send a command; `label` names it in the line. */
  ask(what: string, fields: object, label: string, over?: (done: boolean) => void): void {
    const order: Order = { id: fresh(), label, state: "asked", text: "", step: this.step(), over };
    this.open.set(order.id, order);
    this.last = order;
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
    this.put(text);
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
    if (order === this.last || state === "refused") this.last = order;
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
    const order = this.last;
    if (!order) return;
    const waiting = [...this.open.values()].filter((one) => one !== order).length;
    const told = {
      asked: "asked",
      queued: "waits for the end of this step",
      done: "done",
      refused: "refused",
    };
    const word = order.state === "done" && order.text ? order.text : `${order.label}: ${told[order.state]}`;
    const reason = order.state === "refused" && order.text ? `: ${order.text}` : "";
    this.put(`${word}${reason}${waiting ? ` (${waiting} more waiting)` : ""}`);
  }

  private put(text: string): void {
    if (text === this.line) return;
    this.line = text;
    this.onChange();
  }
}
