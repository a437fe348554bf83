import { type AssetModel, assetOf, bokehOf } from "./asset";
import type { Bokeh } from "./bokeh";
import { floats } from "./messages";
import { Session } from "./session";
import type { Head } from "./types";

/** The part of a widget model that is used here. */
export interface Model {
  get(name: string): unknown;
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
    this.on("msg:custom", (head: Head, buffers: DataView[]) => this.receive(head, buffers));
    this.on("change:panels", () => this.session.describe(model.get("panels") as string));
    this.bokeh = this.asset();
    this.hello(0);
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const end of this.ends) end();
  }

  private on(event: string, callback: (...args: never[]) => void): void {
    this.model.on(event, callback);
    this.ends.push(() => this.model.off(event, callback));
  }

  private receive(head: Head, buffers: DataView[]): void {
    if (head.op !== "append" && head.op !== "reset") return;
    if (this.session.take({ head, buffers: buffers.map(floats) })) {
      this.waiting = false;
      clearTimeout(this.timer);
    } else if (!this.waiting) this.hello(0);
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
