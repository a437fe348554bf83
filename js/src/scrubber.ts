import { Brush } from "./brush";
import { button, element } from "./dom";
import { whole } from "./format";
import type { Ends } from "./plane";
import { Player } from "./player";
import type { Reader } from "./reader";
import { recordedAt, walked } from "./recorded";
import type { Session } from "./session";

const PAGE = 0.1; // of the run, by PageUp and PageDown

/** What the strip asks of the Board. */
export interface Hands {
  hold(step: number | null): void;
  look(window: Ends | null): void;
  inSight(): boolean;
}

/** The strip over the panels: which step they show, a player, and the steps in view. */
export class Scrubber {
  readonly root: HTMLElement;
  readonly player: Player;
  private readonly slider = element("input", { type: "range", step: "any", "aria-label": "step shown" });
  private readonly label = element("span", { class: "nbtk-shown" });
  private readonly play = button("▶", "play the recorded steps", () => this.turn());
  private readonly back = button("back to now", "back to now", () => this.now());
  private readonly all = button("all steps", "show all steps", () => this.hands.look(null));
  private readonly brush: Brush;

  constructor(
    private readonly session: Session,
    private readonly reader: Reader,
    private readonly hands: Hands,
  ) {
    this.brush = new Brush(session, hands);
    this.player = new Player({
      show: (step) => this.hands.hold(recordedAt(session.store, step) ?? step),
      turned: (playing) => this.turned(playing),
      inSight: () => hands.inSight() && !document.hidden,
    });
    this.slider.addEventListener("input", () => this.drag());
    this.slider.addEventListener("keydown", (event) => this.key(event));
    const tracks = element("div", { class: "nbtk-tracks" }, this.slider, this.brush.root);
    this.root = element(
      "div",
      { class: "nbtk-scrubber", role: "group", "aria-label": "steps shown" },
      this.play,
      tracks,
      this.label,
      this.back,
      this.all,
    );
    this.show();
  }

  dispose(): void {
    this.player.stop();
  }

  /** As the reader and the run are now. */
  show(): void {
    const [first, last] = this.session.span();
    const { held, pointed, window } = this.reader;
    this.slider.min = String(first);
    this.slider.max = String(last);
    this.slider.value = String(held ?? last);
    const told = held === null ? `now, step ${whole(last)}` : `step ${whole(held)}`;
    this.slider.setAttribute("aria-valuetext", told);
    this.label.textContent =
      pointed !== null && pointed !== held
        ? `step ${whole(pointed)}`
        : held === null
          ? "now"
          : `showing step ${whole(held)}`;
    this.root.classList.toggle("nbtk-holds", held !== null);
    this.back.disabled = held === null;
    this.all.disabled = window === null;
    this.root.hidden = this.session.store.first() === null;
    this.brush.show(window);
  }

  /** Play from the step held, or from the first; from the end anew. */
  turn(): void {
    if (this.player.playing) {
      this.player.stop();
      return;
    }
    const [first, last] = this.reader.window ?? this.session.span();
    const { held } = this.reader;
    this.player.play(held !== null && held >= first && held < last ? held : first, last);
  }

  private turned(playing: boolean): void {
    this.play.textContent = playing ? "❚❚" : "▶";
    const label = playing ? "stop playing" : "play the recorded steps";
    for (const name of ["aria-label", "title"]) this.play.setAttribute(name, label);
  }

  private now(): void {
    this.player.stop();
    this.hands.hold(null);
  }

  private drag(): void {
    this.player.stop();
    const step = Number(this.slider.value);
    this.hands.hold(recordedAt(this.session.store, step) ?? step);
  }

  private key(event: KeyboardEvent): void {
    const { store } = this.session;
    const [first, last] = this.session.span();
    const here = this.reader.held ?? last;
    const many = event.shiftKey ? 10 : 1;
    const page = PAGE * (last - first);
    const near = (step: number) => recordedAt(store, step) ?? first;
    const moves: Record<string, () => number> = {
      ArrowLeft: () => walked(store, here, -many),
      ArrowDown: () => walked(store, here, -many),
      ArrowRight: () => walked(store, here, many),
      ArrowUp: () => walked(store, here, many),
      PageDown: () => near(here - page),
      PageUp: () => near(here + page),
      Home: () => walked(store, first - 1, 1),
      End: () => near(last),
    };
    const to = moves[event.key];
    if (!to || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.player.stop();
    this.hands.hold(to());
  }
}
