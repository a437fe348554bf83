import { type AssetModel, assetOf, bokehOf } from "./asset";
import type { Bokeh } from "./bokeh";
import { floats } from "./messages";
import { Session } from "./session";
import type { Ack, Head, RangeHead } from "./types";

/** The part of a widget model that is used here. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback: (...args: never[]) => void): void;
  widget_manager?: { get_model(id: string): Promise<AssetModel> };
}

const PATIENCE = [1000, 2000, 4000, 8000];

/** A run followed through its widget model: messages in, and a word back when one was missed. */
export class Live {
  readonly session = new Session();
  readonly bokeh: Promise<Bokeh>;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private waiting = false;
  private ends: (() => void)[] = [];

  constructor(private readonly model: Model) {
    this.session.describe(model.get("panels") as string);
    this.session.takeSnapshot(model.get("snapshot") as DataView | null);
    this.session.control(model.get("controls"));
    this.session.layout = textOf(model.get("arrangement"));
    this.session.keepLayout = (text) => this.keepLayout(text);
    this.session.send = (content) => this.send(content);
    this.on("msg:custom", (head: Head | Ack | RangeHead, buffers: DataView[]) => this.receive(head, buffers));
    this.on("change:panels", () => this.session.describe(model.get("panels") as string));
    this.on("change:controls", () => this.session.control(model.get("controls")));
    this.on("change:arrangement", () => {
      this.session.layout = textOf(model.get("arrangement"));
    });
    this.bokeh = this.asset();
    this.hello(0);
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const end of this.ends) end();
  }

  /** The widget is no more: what was recorded stays. */
  end(): void {
    this.dispose();
    this.lose();
  }

  private lose(): void {
    this.session.gone ||= true;
    this.session.tell();
  }

  private send(content: object): void {
    try {
      this.model.send(content);
    } catch (error) {
      this.lose();
      throw error;
    }
  }

  private on(event: string, callback: (...args: never[]) => void): void {
    this.model.on(event, callback);
    this.ends.push(() => this.model.off(event, callback));
  }

  private receive(head: Head | Ack | RangeHead, buffers: DataView[]): void {
    if (head.op === "ack") this.session.answer(head);
    if (head.op === "rows") this.session.look(head, buffers.map(floats));
    if (head.op !== "append" && head.op !== "reset") return;
    if (this.session.take({ head, buffers: buffers.map(floats) })) {
      this.waiting = false;
      clearTimeout(this.timer);
    } else if (!this.waiting) this.hello(0);
  }

  /** The widget keeps it in a saved notebook, and the kernel for the next Board. */
  private keepLayout(text: string): void {
    this.session.layout = text;
    try {
      this.model.set("arrangement", text);
      this.model.save_changes();
    } catch {
      // no kernel: it is kept on this page
    }
  }

  /** Ask for everything, and again, more and more patiently, until it comes. */
  private hello(tries: number): void {
    this.waiting = true;
    clearTimeout(this.timer);
    try {
      this.model.send({ op: "hello" });
    } catch {
      return; // no kernel: the snapshot is all there is
    }
    const patience = PATIENCE[tries];
    if (patience) this.timer = setTimeout(() => this.hello(tries + 1), patience);
    else this.waiting = false;
  }

  private async asset(): Promise<Bokeh> {
    const asset = await assetOf(this.model);
    const follow = () => {
      this.session.gone = asset.comm_live === false;
      this.session.tell();
    };
    asset.on("comm_live_update", follow);
    this.ends.push(() => asset.off("comm_live_update", follow));
    follow();
    return bokehOf(asset);
  }
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
