import { extremes } from "../bands";
import { margins } from "../curves";
import { spread } from "../ends";
import { number, short } from "../format";
import { type Figure, NOTHING, type Picture, reason, type Under } from "../picture";
import { amount, type Reading } from "../reading";
import { type Slice, sliceAt, sliceName } from "../slices";
import type { Store } from "../store";
import type { Line, PanelSpec } from "../types";

/** As in nbtoolkit/panels/scree.py. */
const NAMED = 8;
const ROOM = 0.08;
const LINE = 13; // pixels
const MANY = 200; // rows are enough to know the ends of all

interface Curve {
  label: number;
  x: number[];
  y: number[];
}

/** Values over their index, a curve for each label: the singular values of every layer. */
export class Scree implements Picture {
  readonly alongSteps = false;
  readonly help = "Up and Down: the curves; Shift, Left and Right: their values";
  private slice: Slice | null = null;

  constructor(private readonly spec: PanelSpec) {}

  label(figure: Figure): void {
    figure.model("y_axis").setv({ axis_label: this.spec.units });
    figure.model("x_axis").setv({ axis_label: this.spec.dims?.[1] ?? "" });
  }

  draw(figure: Figure): string {
    const { store, scale } = figure;
    this.slice = sliceAt(store, this.key, figure.step);
    if (figure.free) this.setAxes(figure);
    const curves = this.slice ? this.curves(this.slice) : [];
    figure.source("data").data = {
      xs: curves.map((curve) => curve.x),
      ys: curves.map((curve) => curve.y),
      color: curves.map((curve) => this.ink(figure, curve.label)),
    };
    this.name(figure, curves);
    if (!this.slice) return NOTHING;
    const seen = curves.some(({ y }) => y.some((one) => scale === "linear" || one > 0));
    return seen ? "" : reason(this.spec, store);
  }

  isOther(store: Store, step: number | null): boolean {
    return sliceName(sliceAt(store, this.key, step)) !== sliceName(this.slice);
  }

  /** The sample nearest to a place, in pixels. */
  under(x: number, y: number, figure: Figure): Under {
    const [across, up] = [figure.range("x_range"), figure.range("y_range")];
    const log = (value: number) => (figure.scale === "log" ? Math.log(value) : value);
    // On a log axis the place was taken evenly between its ends.
    const share = (y - up.start) / (up.end - up.start);
    let [near, least] = [null as number | null, Number.POSITIVE_INFINITY];
    for (const curve of this.slice ? this.curves(this.slice) : []) {
      curve.x.forEach((at, i) => {
        const right = ((at - x) / (across.end - across.start)) * figure.frame.width;
        const height = (log(curve.y[i]!) - log(up.start)) / (log(up.end) - log(up.start));
        const distance = Math.hypot(right, (height - share) * figure.frame.height);
        if (distance < least) [near, least] = [curve.label * this.count + this.place(at), distance];
      });
    }
    return { step: null, row: near };
  }

  read(_: Line[], store: Store, step: number | null, place: number | null): Reading[] {
    const slice = sliceAt(store, this.key, step);
    if (!slice) return [];
    const told = step === null && !slice.draft ? [] : [`step ${number(slice.step)}`];
    const [label, index] = place === null ? this.largest(slice) : this.split(place);
    const value = amount(slice.values[label * this.count + index], this.spec, step);
    const name = short(this.labels[label] ?? "", 34);
    if (place === null) told.push(`largest ${value} in ${name}`);
    else told.push(name, `${this.spec.dims?.[1]} ${this.axis[index]}`, value);
    return told.map((text) => ({ text, color: null }));
  }

  /** To the curve above or below, or, with Shift, along it; from none to the first. */
  walk(key: string, shift: boolean, place: number | null): number | undefined {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
    if (!by || (!shift && by[1])) return undefined;
    if (place === null) return 0;
    const [label, index] = this.split(place);
    const to = (at: number, count: number) => Math.min(count - 1, Math.max(0, at));
    return to(label + by[0]!, this.labels.length) * this.count + to(index + by[1]!, this.count);
  }

  private get key(): string {
    return this.spec.lines[0]!.key;
  }

  private get labels(): string[] {
    return (this.spec.coords?.[this.spec.dims?.[0] ?? ""] ?? []).map(String);
  }

  private get axis(): number[] {
    return (this.spec.coords?.[this.spec.dims?.[1] ?? ""] ?? []).map(Number);
  }

  private get count(): number {
    return Math.max(1, this.axis.length);
  }

  private place(at: number): number {
    return this.axis.indexOf(at);
  }

  private split(place: number): [number, number] {
    return [Math.floor(place / this.count), place % this.count];
  }

  private ink(figure: Figure, label: number): string {
    return figure.tint(this.spec.colors?.[label] ?? "#777777");
  }

  private curves({ values }: Slice): Curve[] {
    const { axis, count } = this;
    return this.labels.map((_, label) => {
      const known = [...axis.keys()].filter((i) => !Number.isNaN(values[label * count + i] ?? Number.NaN));
      return { label, x: known.map((i) => axis[i]!), y: known.map((i) => values[label * count + i]!) };
    });
  }

  private largest({ values }: Slice): [number, number] {
    let found = 0;
    values.forEach((value, i) => {
      if (Number.isFinite(value) && !(values[found]! >= value)) found = i;
    });
    return this.split(found);
  }

  /** The same axes for all steps. */
  private setAxes(figure: Figure): void {
    const { store, scale } = figure;
    const block = store.get(this.key);
    const stride = Math.max(1, Math.floor((block?.rows ?? 0) / MANY));
    const found: Curve[] = [];
    for (let i = (block?.rows ?? 0) - 1; i >= 0; i -= stride) {
      found.push(...this.curves({ step: 0, values: block!.row(i), draft: false }));
    }
    const x = extremes(found.flatMap((curve) => curve.x));
    const y = extremes(found.flatMap((curve) => curve.y.filter((one) => scale === "linear" || one > 0)));
    if (x.length) {
      const margin = 0.02 * (x[1]! - x[0]!) || 0.5;
      figure.span("x_range", [x[0]! - margin, x[1]! + margin]);
    }
    if (!y.length) return;
    const [low, high] = y as [number, number];
    const [start, end] = margins([low, high], scale);
    const room = scale === "log" ? end * (high / low) ** ROOM : end + ROOM * (high - low);
    figure.span("y_range", [start, room]);
  }

  /** The names at the ends of the curves; of many every second, third ... */
  private name(figure: Figure, curves: Curve[]): void {
    const { scale, frame } = figure;
    const { start, end } = figure.range("y_range");
    const height = (value: number) => (scale === "log" ? Math.log(value) : value);
    const unit = (height(end) - height(start)) / Math.max(1, frame.height);
    const every = Math.max(1, Math.ceil(this.labels.length / NAMED));
    const ends = curves.flatMap(({ label, x, y }) => {
      const seen = [...y.keys()].filter((i) => scale === "linear" || y[i]! > 0).at(-1);
      if (label % every || seen === undefined) return [];
      const at = (height(y[seen]!) - height(start)) / unit;
      return [{ x: x[seen]!, at, text: short(this.labels[label]!), color: this.ink(figure, label) }];
    });
    ends.sort((a, b) => a.at - b.at);
    spread(ends, frame.height - LINE);
    const back = (at: number) => (scale === "log" ? Math.exp(at * unit + height(start)) : at * unit + start);
    figure.source("ends").data = {
      x: ends.map((one) => one.x),
      y: ends.map((one) => back(one.at)),
      text: ends.map((one) => one.text),
      color: ends.map((one) => one.color),
    };
  }
}
