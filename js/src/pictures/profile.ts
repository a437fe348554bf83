import { extremes } from "../bands";
import { margins } from "../curves";
import { lettersIn, spread } from "../ends";
import { cut, number } from "../format";
import { type Figure, NOTHING, type Picture, reason, type Under } from "../picture";
import { type Profile as Along, barrierOf, hasAlpha, placesOf, profileAt, profileOf } from "../profile";
import { amount, type Reading } from "../reading";
import { type Slice, sliceName } from "../slices";
import type { Store } from "../store";
import type { Line, PanelSpec } from "../types";

const HEADROOM = 0.12; // for the words at a barrier
const MARGIN = 0.02;

/** Values along a line: each with its chord and barrier between two models, else over the copies. */
export class Profile implements Picture {
  readonly alongSteps = false;
  readonly help = "Up and Down: the points of the line";
  private slice: Slice | null = null;

  constructor(private readonly spec: PanelSpec) {}

  label(figure: Figure): void {
    figure.model("y_axis").setv({ axis_label: this.spec.units });
    const over = placesOf(this.spec) ?? (this.spec.steps ? "step of the copy" : "copy");
    figure.model("x_axis").setv({ axis_label: over });
    figure.model("x_ticks").setv({ min_interval: hasAlpha(this.spec) ? 0 : 1 });
    figure.model("end_labels").setv({ text_align: { value: hasAlpha(this.spec) ? "center" : "right" } });
  }

  draw(figure: Figure): string {
    const { store, scale, step } = figure;
    const drawn = this.spec.lines.map((line) => profileAt(this.spec, line.key, store, step));
    this.slice = drawn[0]?.slice ?? null;
    if (figure.free) this.setAxes(figure);
    const columns: Record<string, Float64Array> = {};
    const longest = Math.max(0, ...drawn.map((one) => one?.profile.x.length ?? 0));
    drawn.forEach((one, i) => {
      for (const key of ["x", "y", "chord"] as const) {
        columns[key + i] = new Float64Array(longest).fill(Number.NaN);
        if (one) columns[key + i]!.set(one.profile[key]);
      }
    });
    figure.source("data").data = columns;
    this.mark(
      figure,
      drawn.map((one) => one?.profile ?? null),
    );
    const seen = drawn.some((one) =>
      one?.profile.y.some((y) => Number.isFinite(y) && (scale === "linear" || y > 0)),
    );
    return seen ? "" : drawn.some((one) => one) ? reason(this.spec, store) : NOTHING;
  }

  isOther(store: Store, step: number | null): boolean {
    const now = profileAt(this.spec, this.spec.lines[0]!.key, store, step)?.slice ?? null;
    return sliceName(now) !== sliceName(this.slice);
  }

  /** The sample nearest to a place of the axis. */
  under(x: number, _: number, figure: Figure): Under {
    const points = profileAt(this.spec, this.spec.lines[0]!.key, figure.store, figure.step)?.profile.x;
    return { step: null, row: points?.length ? nearestTo(points, x) : null };
  }

  read(lines: Line[], store: Store, step: number | null, row: number | null): Reading[] {
    const several = lines.length > 1;
    const told: Reading[] = [];
    lines.forEach((line, i) => {
      const one = profileAt(this.spec, line.key, store, step);
      if (!one) return;
      const { slice, profile } = one;
      if (!told.length && (step !== null || slice.draft)) told.push(plain(`step ${number(slice.step)}`));
      if (row !== null && !i && row < profile.x.length) told.push(plain(this.placeName(profile.x[row]!)));
      const text = this.words(profile, row, step);
      if (text) told.push(several ? { text: `${line.label} ${text}`, color: line.color } : plain(text));
    });
    return told;
  }

  /** Along the samples; from none to the first. */
  walk(key: string, _: boolean, row: number | null, store: Store, step: number | null): number | undefined {
    const by = { ArrowUp: 1, ArrowDown: -1 }[key];
    const count = profileAt(this.spec, this.spec.lines[0]!.key, store, step)?.profile.x.length;
    if (!by || !count) return undefined;
    return row === null ? 0 : Math.min(count - 1, Math.max(0, row + by));
  }

  private placeName(x: number): string {
    const places = placesOf(this.spec);
    if (places) return `${places} ${number(x, 3)}`;
    return `copy ${this.spec.steps ? "of step " : ""}${number(x)}`;
  }

  /** The value at a sample, else the barrier or the range. */
  private words(profile: Along, row: number | null, step: number | null): string {
    if (row !== null && row < profile.y.length) return amount(profile.y[row], this.spec, step);
    const barrier = barrierOf(profile);
    if (barrier) return `barrier ${amount(barrier.value, this.spec, step)} at α ${number(barrier.x, 3)}`;
    const [low, high] = extremes(profile.y);
    return low === undefined ? "" : `${number(low, 4)} to ${amount(high, this.spec, null)}`;
  }

  /** The same axes for all steps. */
  private setAxes(figure: Figure): void {
    const { store, scale } = figure;
    const found = this.spec.lines.flatMap(({ key }) => this.all(store, key));
    const x = extremes(found.flatMap((one) => [...one.x]));
    const y = extremes(found.flatMap((one) => [...one.y].filter((value) => scale === "linear" || value > 0)));
    if (x.length) {
      const margin = MARGIN * (x[1]! - x[0]!) || 0.5;
      figure.span("x_range", [x[0]! - margin, x[1]! + margin]);
    }
    if (!y.length) return;
    const [low, high] = y as [number, number];
    const [start, end] = margins([low, high], scale);
    const room = scale === "log" ? end * (high / low) ** HEADROOM : end + HEADROOM * (high - low);
    figure.span("y_range", [start, room]);
  }

  private all(store: Store, key: string): Along[] {
    const block = store.get(key);
    const draft = store.draft(key);
    const rows: Slice[] = draft ? [{ ...draft, draft: true }] : [];
    const stride = Math.max(1, Math.floor((block?.rows ?? 0) / MANY));
    for (let i = (block?.rows ?? 0) - 1; i >= 0; i -= stride) {
      rows.push({ step: block!.x()[i]!, values: block!.row(i), draft: false });
    }
    return rows.map((slice) => profileOf(this.spec, slice, store));
  }

  /** The barriers as strokes with their heights, and the names of several lines. */
  private mark(figure: Figure, profiles: (Along | null)[]): void {
    const lines = figure.lines();
    const y = figure.range("y_range");
    const log = figure.scale === "log";
    const height = (value: number) => (log ? Math.log(value) : value);
    const unit = (height(y.end) - height(y.start)) / Math.max(1, figure.frame.height);
    const marks = profiles.flatMap((profile, i) => {
      const label = lines.length > 1 ? lines[i]!.label : "";
      const last = profile
        ? [...profile.y.keys()].filter((k) => Number.isFinite(profile.y[k]!)).at(-1)
        : undefined;
      if (!profile || last === undefined) return [];
      const barrier = barrierOf(profile);
      const words = barrier ? `${label} barrier ${number(barrier.value, 3)}`.trim() : label;
      const text = cut(words, lettersIn(figure.frame.width));
      const end = { x: profile.x[last]!, foot: profile.y[last]!, head: profile.y[last]! };
      const mark = { ...(barrier ?? end), text, color: lines[i]!.color };
      const at = (height(mark.head) - height(y.start)) / unit;
      return text && Number.isFinite(at) ? [{ ...mark, at }] : [];
    });
    marks.sort((a, b) => a.at - b.at);
    spread(marks, figure.frame.height - LINE);
    const x = figure.range("x_range");
    const letter = (LETTER * (x.end - x.start)) / Math.max(1, figure.frame.width);
    /** The middle of a text at a place, so far from both ends of the axis that it is not cut. */
    const inside = ({ x: at, text }: { x: number; text: string }) => {
      const half = Math.min((x.end - x.start) / 2, (letter * text.length) / 2);
      return hasAlpha(this.spec) ? Math.min(Math.max(at, x.start + half), x.end - half) : at;
    };
    const back = (at: number) => (log ? Math.exp(at * unit + height(y.start)) : at * unit + y.start);
    figure.source("marks").data = {
      x: marks.map((mark) => mark.x),
      foot: marks.map((mark) => mark.foot),
      head: marks.map((mark) => mark.head),
      left: marks.map(inside),
      at: marks.map((mark) => back(mark.at)),
      text: marks.map((mark) => mark.text),
      color: marks.map((mark) => mark.color),
    };
  }
}

const LINE = 13;
const MANY = 200; // rows are enough to know the ends of all
const LETTER = 6.2; // pixels
const plain = (text: string): Reading => ({ text, color: null });

export function nearestTo(points: Float64Array, at: number): number {
  let near = 0;
  points.forEach((point, i) => {
    if (Math.abs(point - at) < Math.abs(points[near]! - at)) near = i;
  });
  return near;
}
