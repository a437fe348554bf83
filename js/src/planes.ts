import { limits } from "./field";
import { number } from "./format";
import { type Figure, NOTHING } from "./picture";
import { type Axes, axesOf, centreOf, type Ends, type Plane, planeOf, Shown } from "./plane";
import { amount, type Reading } from "./reading";
import { beside, type Slice, sliceAt } from "./slices";
import type { Block, Store } from "./store";
import type { PanelSpec, Scale } from "./types";

/** What is drawn of a field over a plane at a step. */
export interface Drawn {
  slice: Slice;
  plane: Plane;
  /** The points of the path that are known, the oldest first. */
  path: Ends[];
}

/** A field over a plane of parameters: what its two pictures, from above and as a surface, have in common. */
export class Planes {
  readonly axes: Axes;
  private readonly key: string;

  constructor(private readonly spec: PanelSpec) {
    this.axes = axesOf(spec);
    this.key = spec.lines[0]?.key ?? "";
  }

  label(figure: Figure): void {
    figure.model("bar").setv({ title: this.spec.units });
  }

  slice(store: Store, step: number | null): Slice | null {
    return sliceAt(store, this.key, step);
  }

  at(store: Store, step: number | null): Drawn | null {
    const slice = this.slice(store, step);
    const plane = slice && planeOf(this.axes, slice.values);
    const { path } = this.spec;
    return plane && { slice, plane, path: pathOf(beside(store, path?.key, slice), path?.components ?? 0) };
  }

  /** Ends of the colours, the same for all steps, what is being measured included. */
  limits(store: Store, scale: Scale): Ends {
    const rows = this.rows(store);
    return limits({ rows: rows.length, row: (i) => rows[i]! }, scale);
  }

  /** Logarithmic where every value is positive. */
  suits(store: Store): Scale {
    const rows = this.rows(store);
    return rows.every((row) => !row.some((value) => value <= 0)) ? "log" : "linear";
  }

  /** Why there is nothing to see. */
  hint(store: Store, scale: Scale, drawn: Drawn | null): string {
    if (!drawn) return NOTHING;
    const shown = drawn.plane.values.some(
      (value) => Number.isFinite(value) && (scale === "linear" || value > 0),
    );
    if (shown) return "";
    return this.suits(store) === "log" ? "no finite value" : "no positive value for a logarithmic scale";
  }

  /** The point at a place of the row, else the centre and the size of the grid. */
  read(store: Store, step: number | null, place: number | null): Reading[] {
    const drawn = this.at(store, step);
    if (!drawn) return [];
    const { slice, plane } = drawn;
    const told = step === null && !slice.draft ? [] : [`step ${number(slice.step)}`];
    const point = place === null ? null : this.point(place);
    if (point && place !== null) {
      told.push(
        `α ${number(point[0], 3)}`,
        `β ${number(point[1], 3)}`,
        this.value(slice.values[place]!, step),
      );
    } else {
      const centre = centreOf(plane);
      if (centre !== null) told.push(`centre ${this.value(centre, step)}`);
      told.push(this.size(drawn));
    }
    return told.map((text) => ({ text, color: null }));
  }

  /** The place in a row of the sample shown at (a, b); null outside the field. */
  place({ plane }: Drawn, a: number, b: number, [x, y]: [Ends, Ends]): number | null {
    if (a < x[0] || a > x[1] || b < y[0] || b > y[1]) return null;
    const found = new Shown(plane).at(a, b) ?? new Shown(filled(plane)).at(a, b);
    if (!found) return null;
    return this.axes.place(this.axes.x.indexOf(plane.x[found[0]]!), this.axes.y.indexOf(plane.y[found[1]]!));
  }

  /** From a place to its neighbour among the points drawn; from none to the centre. */
  neighbour(
    store: Store,
    step: number | null,
    from: number | null,
    right: number,
    up: number,
  ): number | undefined {
    const drawn = this.at(store, step);
    const point = from === null ? null : this.point(from);
    if (!drawn?.plane.values.length) return undefined;
    const { x, y } = drawn.plane;
    const move = (points: Float64Array, at: number, by: number) => {
      let near = 0;
      points.forEach((value, i) => {
        if (Math.abs(value - at) < Math.abs(points[near]! - at)) near = i;
      });
      return points[Math.min(points.length - 1, Math.max(0, near + by))]!;
    };
    const [a, b] = point ? [move(x, point[0], right), move(y, point[1], up)] : [move(x, 0, 0), move(y, 0, 0)];
    return this.axes.place(this.axes.x.indexOf(a), this.axes.y.indexOf(b));
  }

  private point(place: number): Ends | null {
    for (let i = 0; i < this.axes.x.length; i++) {
      for (let j = 0; j < this.axes.y.length; j++) {
        if (this.axes.place(i, j) === place) return [this.axes.x[i]!, this.axes.y[j]!];
      }
    }
    return null;
  }

  private value(value: number, step: number | null): string {
    if (Number.isNaN(value)) return "NaN, or not evaluated";
    return Number.isFinite(value) ? amount(value, this.spec, step) : `${number(value)}, not finite`;
  }

  /** How many points: while it is being measured those that there will be, and those that there are. */
  private size({ slice, plane }: Drawn): string {
    const count = (plane: { x: ArrayLike<number>; y: ArrayLike<number> }) =>
      `${plane.x.length} × ${plane.y.length}`;
    if (!slice.draft) return count(plane);
    const inside = (labels: Float64Array, kept: Float64Array) =>
      labels.filter((label) => label >= kept[0]! && label <= kept.at(-1)!);
    const whole = { x: inside(this.axes.x, plane.x), y: inside(this.axes.y, plane.y) };
    if (count(whole) !== count(plane)) return `${count(whole)}, ${count(plane)} so far`;
    const known = plane.values.filter((value) => !Number.isNaN(value)).length;
    return `${count(whole)}, ${Math.floor((100 * known) / plane.values.length)} % so far`;
  }

  private rows(store: Store): Float64Array[] {
    const block = store.get(this.key);
    const draft = store.draft(this.key);
    const rows = block ? every(block) : [];
    return draft ? [...rows, draft.values] : rows;
  }
}

/** Rows enough to know the ends of all. */
function every(block: Block): Float64Array[] {
  const stride = Math.max(1, Math.floor(block.rows / 200));
  return Array.from({ length: Math.ceil(block.rows / stride) }, (_, i) =>
    block.row(block.rows - 1 - i * stride),
  );
}

/** A plane without gaps: to find the point in whose cell a place lies, even if it has no value. */
const filled = (plane: Plane): Plane => ({ ...plane, values: new Float64Array(plane.values.length) });

/** The points of a path that are known, of rows with so many components. */
export function pathOf(values: Float64Array | null, components: number): Ends[] {
  const found: Ends[] = [];
  if (!values || components < 2) return found;
  for (let i = 0; i + 1 < values.length; i += components) {
    const point: Ends = [values[i]!, values[i + 1]!];
    if (point.every(Number.isFinite)) found.push(point);
  }
  return found;
}
