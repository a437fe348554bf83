import type { Board } from "../board";
import { element } from "../dom";
import type { Live } from "../live";
import type { Modules, Widget } from "./jupyter";
import { onPage } from "./runs";

export const CLOSED = "its notebook is closed: showing what was recorded";

/** A Board in a tab of its own, which outlives the notebook that it came from. */
export class Tab {
  readonly widget: Widget;
  private readonly node = element("div", { class: "nbtk-tab" });
  private live: Live | null = null;
  private board: Board | null = null;

  constructor(
    modules: Modules,
    uid: string,
    name: string,
    readonly notebook: string,
    icon: unknown,
  ) {
    this.node.tabIndex = -1;
    this.widget = new modules.widgets.Widget({ node: this.node });
    this.widget.id = uid;
    const label = name || "run";
    Object.assign(this.widget.title, { label, caption: `training run ${name}`, closable: true, icon });
    this.widget.onActivateRequest = () => this.node.focus();
    this.widget.disposed.connect(() => this.board?.dispose());
  }

  /** Show a run as it is followed now; false where it is shown already. */
  follow(live: Live): boolean {
    if (live === this.live) return false;
    this.board?.dispose();
    this.live = live;
    this.board = new (onPage()!.Board)(live.session, live.bokeh);
    this.node.append(this.board.root);
    return true;
  }

  /** The notebook has been closed, and with it the line to the kernel. */
  leave(live: Live): void {
    live.session.gone = CLOSED;
    live.session.tell();
  }
}
