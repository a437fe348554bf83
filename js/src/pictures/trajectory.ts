import { extremes } from "../bands";
import { number } from "../format";
import { equal } from "../image";
import { type Figure, NOTHING, type Picture, type Under } from "../picture";
import type { Ends } from "../plane";
import type { Reading } from "../reading";
import { beside, type Slice, sliceAt, sliceName } from "../slices";
import type { Store } from "../store";
import type { Line, PanelSpec } from "../types";

const MARGIN = 0.06;

interface Path {
  slice: Slice;
  /** Indices of the copies that are known, their points, and their steps. */
  copies: number[];
  points: Ends[];
  steps: number[];
}

/** The path of the parameters in a plane, one scale on both axes. */
export class Trajectory implements Picture {
  readonly alongSteps = false;
  readonly tall = true;
  readonly help = "Up and Down: the copies";
  private path: Path | null = null;
  private window: Ends | null = null;

  constructor(private readonly spec: PanelSpec) {}

  label(figure: Figure): void {
    const units = this.spec.units ? `, ${this.spec.units}` : "";
    figure.model("x_axis").setv({ axis_label: `component 1${units}` });
    figure.model("y_axis").setv({ axis_label: `component 2${units}` });
  }

  draw(figure: Figure): string {
    this.window = figure.window;
    this.path = this.at(figure.store, figure.step);
    if (figure.free) this.setAxes(figure);
    const points = this.path?.points ?? [];
    const columns = (some: Ends[]) => ({ x: some.map(([x]) => x), y: some.map(([, y]) => y) });
    const order = points.map((_, i) => (points.length > 1 ? i / (points.length - 1) : 1));
    figure.source("data").data = { ...columns(points), order };
    figure.source("first").data = columns(points.slice(0, 1));
    figure.source("newest").data = columns(points.slice(-1));
    return points.length ? "" : this.window ? "no copy in these steps" : NOTHING;
  }

  isOther(store: Store, step: number | null): boolean {
    return sliceName(sliceAt(store, this.key, step)) !== sliceName(this.path?.slice ?? null);
  }

  /** The nearest copy. */
  under(x: number, y: number): Under {
    let [near, least] = [null as number | null, Number.POSITIVE_INFINITY];
    this.path?.points.forEach(([a, b], i) => {
      const distance = (a - x) ** 2 + (b - y) ** 2;
      if (distance < least) [near, least] = [this.path!.copies[i]!, distance];
    });
    return { step: null, row: near };
  }

  read(_: Line[], store: Store, step: number | null, copy: number | null): Reading[] {
    const path = this.at(store, step);
    if (!path?.points.length) return [];
    const told = step === null && !path.slice.draft ? [] : [`step ${number(path.slice.step)}`];
    const i = copy === null ? -1 : path.copies.indexOf(copy);
    const unit = this.spec.units ? `\u00a0${this.spec.units}` : "";
    if (i < 0) {
      const [first, last] = [path.points[0]!, path.points.at(-1)!];
      const way = Math.hypot(last[0] - first[0], last[1] - first[1]);
      told.push(`${path.points.length} copies`, `${number(way, 4)}${unit} from the first`);
    } else {
      const place = path.points[i]!.map((value) => number(value, 4)).join(", ");
      told.push(`copy ${this.spec.steps ? "of step " : ""}${number(path.steps[i])}`, `(${place})${unit}`);
    }
    return told.map((text) => ({ text, color: null }));
  }

  /** Along the copies; from none to the newest. */
  walk(key: string, _: boolean, copy: number | null, store: Store, step: number | null): number | undefined {
    const by = { ArrowUp: 1, ArrowDown: -1 }[key];
    const copies = this.at(store, step)?.copies;
    if (!by || !copies?.length) return undefined;
    if (copy === null) return copies.at(-1)!;
    return copies[Math.min(copies.length - 1, Math.max(0, copies.indexOf(copy) + by))]!;
  }

  private get key(): string {
    return this.spec.lines[0]?.key ?? "";
  }

  private get components(): number {
    return this.spec.sizes?.[1] ?? 1;
  }

  private at(store: Store, step: number | null): Path | null {
    const slice = sliceAt(store, this.key, step);
    if (!slice || this.components < 2) return null;
    const steps = beside(store, this.spec.steps, slice);
    const path: Path = { slice, copies: [], points: [], steps: [] };
    for (let copy = 0; copy * this.components < slice.values.length; copy++) {
      const at = copy * this.components;
      const point: Ends = [slice.values[at]!, slice.values[at + 1]!];
      if (!point.every(Number.isFinite) || (steps && !this.isInView(steps[copy]!))) continue;
      path.copies.push(copy);
      path.points.push(point);
      path.steps.push(steps ? steps[copy]! : copy);
    }
    return path;
  }

  private isInView(step: number): boolean {
    return !this.window || !(step < this.window[0] || step > this.window[1]);
  }

  /** The same axes for all steps; around those in view, where the reader chose some. */
  private setAxes(figure: Figure): void {
    const block = this.window ? undefined : figure.store.get(this.key);
    const both = [0, 1].map((place): Ends => {
      const now = (this.path?.points ?? []).map((point) => point[place]!);
      const values = [...now];
      for (let copy = 0; block && copy * this.components < block.width; copy++) {
        values.push(...extremes(block.column(copy * this.components + place)));
      }
      const [low, high] = extremes(values);
      if (low === undefined || high === undefined) return [-1, 1];
      const margin = MARGIN * (high - low) || 0.5;
      return [low - margin, high + margin];
    });
    const [x, y] = equal(both[0]!, both[1]!, figure.frame);
    figure.span("x_range", x);
    figure.span("y_range", y);
  }
}
