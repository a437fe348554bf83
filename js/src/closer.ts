import type { Reader } from "./reader";
import type { Session } from "./session";

const QUIET = 100; // ms after the view has changed
const PATIENCE = 5000; // ms for an answer
const MOST = 64; // as in nbtoolkit/widget/ranges.py

/** Asks the kernel for the rows in view where the page has but the shape of a long curve. */
export class Closer {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private view = "";
  private readonly tried = new Set<string>();
  private asked = Number.NEGATIVE_INFINITY;
  private answers = 0;

  /** `keys` tells what is drawn along the steps. */
  constructor(
    private readonly session: Session,
    private readonly reader: Reader,
    private readonly keys: () => string[],
  ) {}

  dispose(): void {
    clearTimeout(this.timer);
  }

  /** After a drawing: what it lacks is asked for once the view has come to rest, and once only. */
  look(): void {
    const { store } = this.session;
    const view = JSON.stringify([this.reader.window, store.resets]);
    if (view !== this.view) {
      this.view = view;
      this.tried.clear();
      this.dispose();
      this.timer = undefined;
      if (this.reader.window === null) store.forget();
    }
    if (this.timer === undefined && this.lacking().length) this.timer = setTimeout(() => this.ask(), QUIET);
  }

  /** What is in view, has more rows than are here, and was not asked for yet. */
  private lacking(): string[] {
    const { window } = this.reader;
    const { send, gone, status, store } = this.session;
    if (!window || !send || gone || status?.deaf) return [];
    return this.keys().filter((key) => !this.tried.has(key) && store.lacks(key, ...window));
  }

  private ask(): void {
    this.timer = undefined;
    const { store } = this.session;
    const now = performance.now();
    if (this.answers === store.answers && now - this.asked < PATIENCE) return; // the answer draws, and so looks again
    const keys = this.lacking().slice(0, MOST);
    const { window } = this.reader;
    if (!keys.length || !window) return;
    const [from, to] = window;
    const beside = (to - from) / 4; // to be moved a little
    store.forget(from, to);
    for (const key of keys) this.tried.add(key);
    [this.asked, this.answers] = [now, store.answers];
    try {
      this.session.send?.({ op: "rows", keys, from: Math.floor(from - beside), to: Math.ceil(to + beside) });
    } catch {
      // no kernel: what the page has is all there is
    }
  }
}
