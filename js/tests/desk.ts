import { afterEach, beforeEach, vi } from "vitest";
import { Cockpit } from "../src/cockpit";
import { Session } from "../src/session";
import type { Ack, Controls, Status } from "../src/types";
import { status } from "./paper";

export type Sent = { op: string; id: string; what: string } & Record<string, unknown>;

export const can = (name: string, title: string, more: object = {}) => ({
  ...{ name, title, attached: false, every: null, cannot: "" },
  ...more,
});
export const CONTROLS: Controls = {
  groups: 1,
  instruments: [
    can("loss", "training loss", { attached: true, every: 1 }),
    can("sharpness", "largest Hessian eigenvalue"),
    can("accuracy", "accuracy", { cannot: "no tasks are given" }),
  ],
};

/** The cockpit of a running loop, and what it sent. */
export class Desk {
  session = new Session();
  sent: Sent[] = [];
  cockpit: Cockpit;
  private seq = 0;

  constructor() {
    this.session.control(JSON.stringify(CONTROLS));
    this.session.send = (content) => this.sent.push(content as Sent);
    this.cockpit = new Cockpit(this.session, () => {});
    document.body.append(this.cockpit.root);
    this.tell();
  }

  dispose = () => {
    this.cockpit.dispose();
    this.cockpit.root.remove();
  };
  find = <T extends Element>(query: string) => this.cockpit.root.querySelector<T & HTMLElement>(query)!;
  press = (label: string) => this.find<HTMLButtonElement>(`button[aria-label="${label}"]`).click();
  line = () => this.find(".nbtk-line-of-orders").textContent;
  last = () => this.sent.at(-1)!;
  answer = (state: Ack["state"], text = "", id = this.last().id) =>
    this.session.answer({ op: "ack", id, state, text });
  tell = (more: Partial<Status> = {}, head: object = {}) => {
    const told = { ...status, lr: [0.1], deaf: "", ...more } as Status;
    const op = this.seq ? "append" : "reset";
    this.session.take({ head: { op, seq: ++this.seq, status: told, series: [], ...head }, buffers: [] });
    this.cockpit.show();
  };
}

/** A desk for each test of a file, its clock stopped. */
export function eachAtADesk(set: (desk: Desk) => void): void {
  let desk: Desk;
  beforeEach(() => {
    vi.useFakeTimers();
    desk = new Desk();
    set(desk);
  });
  afterEach(() => {
    desk.dispose();
    vi.useRealTimers();
  });
}
