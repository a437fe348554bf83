import { element } from "./dom";
import { drag } from "./drag";
import { whole } from "./format";
import type { Ends } from "./plane";
import { walked } from "./recorded";
import type { Session } from "./session";

const PAGE = 0.1;
const NAMES = ["first step in view", "last step in view"];

/** Two handles on a track, and the steps between them: those that the panels show. */
export class Brush {
  readonly root: HTMLElement;
  private readonly band = element("div", { class: "nbtk-band" });
  private readonly handles = NAMES.map((name) =>
    element("div", { class: "nbtk-handle", role: "slider", tabindex: "0", "aria-label": name, title: name }),
  );
  private window: Ends | null = null;

  constructor(
    private readonly session: Session,
    private readonly host: { look(window: Ends | null): void },
  ) {
    this.root = element("div", { class: "nbtk-brush-track" }, this.band, ...this.handles);
    this.band.addEventListener("pointerdown", (event) => this.grip(event, [0, 1]));
    this.handles.forEach((handle, i) => {
      handle.addEventListener("pointerdown", (event) => this.grip(event, [i]));
      handle.addEventListener("keydown", (event) => this.key(event, i));
    });
  }

  show(window: Ends | null): void {
    this.window = window;
    const [first, last] = this.session.span();
    const ends = this.ends();
    const shares = ends.map((step) => (100 * (step - first)) / (last - first));
    this.band.style.left = `${shares[0]}%`;
    this.band.style.width = `${shares[1]! - shares[0]!}%`;
    this.root.classList.toggle("nbtk-some", window !== null);
    this.handles.forEach((handle, i) => {
      handle.style.left = `${shares[i]}%`;
      const told = { min: first, max: last, now: ends[i]!, text: `step ${whole(ends[i]!)}` };
      for (const [name, value] of Object.entries(told))
        handle.setAttribute(`aria-value${name}`, String(value));
    });
  }

  private ends(): Ends {
    return this.window ?? this.session.span();
  }

  /** Move some of the ends with the pointer; both together stay as far apart. */
  private grip(event: PointerEvent, which: number[]): void {
    if (event.button !== 0 || (which.length > 1 && !this.window)) return;
    event.preventDefault();
    if (which.length === 1) this.handles[which[0]!]!.focus();
    const [first, last] = this.session.span();
    const unit = (last - first) / Math.max(1, this.root.clientWidth);
    const begun = this.ends();
    let moved = 0;
    drag(event, (right) => {
      moved += right * unit;
      const room: Ends = [first - begun[0], last - begun[1]];
      const by = which.length > 1 ? Math.min(room[1], Math.max(room[0], moved)) : moved;
      const ends = begun.map((step, i) => (which.includes(i) ? step + by : step)) as Ends;
      this.host.look(which.length > 1 ? ends : this.apart(ends, which[0]!));
    });
  }

  private key(event: KeyboardEvent, i: number): void {
    const [first, last] = this.session.span();
    const { store } = this.session;
    const here = this.ends()[i]!;
    const many = event.shiftKey ? 10 : 1;
    const page = PAGE * (last - first);
    const moves: Record<string, () => number> = {
      ArrowLeft: () => walked(store, here, -many),
      ArrowDown: () => walked(store, here, -many),
      ArrowRight: () => walked(store, here, many),
      ArrowUp: () => walked(store, here, many),
      PageDown: () => here - page,
      PageUp: () => here + page,
      Home: () => first,
      End: () => last,
    };
    const to = moves[event.key];
    if (!to || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const ends = [...this.ends()] as Ends;
    ends[i] = to();
    this.host.look(this.apart(ends, i));
  }

  /** Ends that do not cross: the one that is moved stops a step before the other. */
  private apart([from, to]: Ends, moved: number): Ends {
    return moved ? [from, Math.max(to, from + 1)] : [Math.min(from, to - 1), to];
  }
}
