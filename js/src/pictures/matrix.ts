import { limits } from "../field";
import { number, short } from "../format";
import { equal, fillImage } from "../image";
import { type Figure, NOTHING, type Picture, type Under } from "../picture";
import type { Ends } from "../plane";
import { amount, type Reading } from "../reading";
import { beside, type Slice, sliceAt, sliceName } from "../slices";
import type { Store } from "../store";
import { transferOf } from "../transfer";
import type { Line, PanelSpec } from "../types";

const LABELLED = 11;
const LETTER = 6.5; // pixels of one letter
const BRIGHT = 0.55;
const PALE = [0.2, 0.8] as const; // of diverging colours
const COPIES = ["snapshot", "other"];
const TASKS = ["task_trained", "task_evaluated"];
/** What lies along the axes of a matrix of tasks. */
const AXES = ["after training", "evaluated on"];
const PINNED = "task_evaluated";

/** A row as a square: the labels that have any value, the first row on top. */
interface Square {
  slice: Slice;
  rows: number[];
  columns: number[];
  value: (row: number, column: number) => number;
  labels: (place: 0 | 1) => string[];
}

/** Copies, layers, tasks or terms against others, the first in the upper left corner. */
export class Matrix implements Picture {
  readonly alongSteps = false;
  readonly tall = true;
  readonly help = "Shift and arrow keys: the cells";
  private square: Square | null = null;

  constructor(private readonly spec: PanelSpec) {}

  label(figure: Figure): void {
    figure.model("bar").setv({ title: this.spec.units });
    const copies = this.spec.steps ? "step of the copy" : "copy";
    const name = (dim: string, i: number) => (this.ofTasks ? AXES[i]! : COPIES.includes(dim) ? copies : "");
    const [down, across] = (this.spec.dims ?? []).map(name);
    figure.model("x_axis").setv({ axis_label: across ?? "" });
    figure.model("y_axis").setv({ axis_label: down ?? "" });
  }

  draw(figure: Figure): string {
    const { store, scale } = figure;
    this.square = this.at(store, figure.step);
    const block = store.get(this.spec.lines[0]!.key);
    const ends: Ends = this.spec.ends ?? (block ? limits(block, scale) : [0, 1]);
    if (figure.free) figure.model("colours").setv({ low: ends[0], high: ends[1] });
    const { rows, columns, value } = this.square ?? EMPTY;
    const [height, width] = [Math.max(1, rows.length), Math.max(1, columns.length)];
    if (figure.free) {
      const [x, y] = equal([0, width], [0, height], figure.frame);
      figure.span("x_range", x);
      figure.span("y_range", y);
    }
    const image = new Float64Array(width * height).fill(Number.NaN);
    const words = { x: [] as number[], y: [] as number[], text: [] as string[], color: [] as string[] };
    rows.forEach((row, j) => {
      columns.forEach((column, i) => {
        const one = value(row, column);
        const seen = Number.isFinite(one) && (scale === "linear" || one > 0);
        if (seen) image[(height - 1 - j) * width + i] = one;
        if (Number.isNaN(one)) return;
        words.x.push(i + 0.5);
        words.y.push(height - j - 0.5);
        words.text.push(this.spec.ends ? one.toFixed(2).replace("-", "−") : number(one, 2));
        words.color.push(this.isPale((one - ends[0]) / (ends[1] - ends[0])) ? "#222222" : "#FFFFFF");
      });
    });
    const cell = Math.min(figure.frame.width / width, figure.frame.height / height);
    const room = words.text.every((text) => (text.length + 1) * LETTER < cell);
    fillImage(figure.source("data"), image, [height, width], [0, width], [0, height]);
    figure.source("values").data = room ? words : { x: [], y: [], text: [], color: [] };
    this.write(figure, height, cell);
    this.frame(figure, height);
    return this.square ? "" : NOTHING;
  }

  isOther(store: Store, step: number | null): boolean {
    const now = sliceAt(store, this.spec.lines[0]!.key, step);
    return sliceName(now) !== sliceName(this.square?.slice ?? null);
  }

  under(x: number, y: number): Under {
    const { rows, columns } = this.square ?? EMPTY;
    const [row, column] = [rows[Math.floor(rows.length - y)], columns[Math.floor(x)]];
    const found = row !== undefined && column !== undefined;
    return { step: null, row: found ? row * this.count + column : null };
  }

  read(_: Line[], store: Store, step: number | null, place: number | null): Reading[] {
    const square = this.at(store, step);
    if (!square) return [];
    const told = step === null && !square.slice.draft ? [] : [`step ${number(square.slice.step)}`];
    if (place === null) {
      const values = square.rows.flatMap((row) => square.columns.map((column) => square.value(row, column)));
      const known = values.filter(Number.isFinite);
      const range = `${number(Math.min(...known), 3)} to ${amount(Math.max(...known), this.spec, null)}`;
      if (this.ofTasks) return [...told, ...this.transfer(square)].map((text) => ({ text, color: null }));
      const lowest = this.spec.ends && this.spec.ends[0] < 0 ? this.mostOpposed(square) : [];
      told.push(
        `${square.rows.length} × ${square.columns.length}`,
        ...(known.length ? [range] : []),
        ...lowest,
      );
    } else {
      const [row, column] = [Math.floor(place / this.count), place % this.count];
      const name = (label: string) =>
        COPIES.includes(this.spec.dims?.[0] ?? "") ? `copy ${label}` : short(label);
      const [of, to] = [name(square.labels(0)[row] ?? ""), name(square.labels(1)[column]!)];
      told.push(this.ofTasks ? `${to} after ${of || "more training"}` : `${of}, ${to}`);
      const error = beside(store, this.spec.lines[0]!.error?.key, square.slice)?.[place] ?? Number.NaN;
      const bound = Number.isFinite(error) ? ` ± ${number(error, 2)}` : "";
      told.push(amount(square.value(row, column), this.spec, step, bound));
    }
    return told.map((text) => ({ text, color: null }));
  }

  /** To the neighbouring cell; from none to the first. */
  walk(
    key: string,
    shift: boolean,
    place: number | null,
    store: Store,
    step: number | null,
  ): number | undefined {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
    const square = this.at(store, step);
    if (!by || (!shift && by[1]) || !square?.rows.length) return undefined;
    const move = (among: number[], from: number, to: number) => {
      const at = among.indexOf(from) + to;
      return among[Math.min(among.length - 1, Math.max(0, at))]!;
    };
    if (place === null) return square.rows[0]! * this.count + square.columns[0]!;
    const [row, column] = [Math.floor(place / this.count), place % this.count];
    return move(square.rows, row, by[0]!) * this.count + move(square.columns, column, by[1]!);
  }

  /** The task of a cell. */
  pins(place: number): string | null {
    const dim = this.spec.dims?.indexOf(PINNED) ?? -1;
    if (dim < 0) return null;
    const label = this.spec.coords?.[PINNED]?.[dim ? place % this.count : Math.floor(place / this.count)];
    return label === undefined ? null : String(label);
  }

  private get ofTasks(): boolean {
    return this.spec.dims?.join() === TASKS.join();
  }

  private isPale(share: number): boolean {
    return (this.spec.ends?.[0] ?? 0) < 0 ? share > PALE[0] && share < PALE[1] : share > BRIGHT;
  }

  /** Average accuracy and backward transfer, as far as tasks have been trained. */
  private transfer({ value, labels }: Square): string[] {
    const found = transferOf(value, labels(0), labels(1));
    const told = { ACC: found?.average ?? Number.NaN, BWT: found?.backward ?? Number.NaN };
    return Object.entries(told).flatMap(([name, one]) =>
      Number.isFinite(one) ? [`${name} ${number(one, 3)}`] : [],
    );
  }

  /** The cell with the lowest value, where that means a conflict. */
  private mostOpposed({ rows, columns, value, labels }: Square): string[] {
    const cells = rows.flatMap((row) => columns.map((column) => [row, column] as const));
    const found = cells.filter(([row, column]) => value(row, column) < 0);
    found.sort((a, b) => value(...a) - value(...b));
    const [least] = found;
    return least ? [`most opposed: ${labels(0)[least[0]]}, ${labels(1)[least[1]]}`] : [];
  }

  /** A frame around the column, or the row, of the task in front. */
  private frame(figure: Figure, height: number): void {
    const { rows, columns } = this.square ?? EMPTY;
    const dim = this.spec.dims?.indexOf(PINNED) ?? -1;
    const label = (this.spec.coords?.[PINNED] ?? []).map(String).indexOf(figure.pinned ?? "");
    const at = figure.pinned === null || dim < 0 ? -1 : (dim ? columns : rows).indexOf(label);
    const [left, right] = dim ? [at, at + 1] : [0, columns.length];
    const [bottom, top] = dim ? [0, height] : [height - at - 1, height - at];
    const sides = { left, right, bottom, top };
    figure.source("pinned").data = Object.fromEntries(
      Object.entries(sides).map(([side, one]) => [side, at < 0 ? [] : [one]]),
    );
  }

  private get count(): number {
    return this.spec.sizes?.[1] ?? 1;
  }

  private at(store: Store, step: number | null): Square | null {
    const slice = sliceAt(store, this.spec.lines[0]!.key, step);
    const [down = 0, across = 0] = this.spec.sizes ?? [];
    if (!slice || slice.values.length !== down * across) return null;
    const value = (row: number, column: number) => slice.values[row * across + column] ?? Number.NaN;
    const labels = (place: 0 | 1) => this.labels(place, slice, store);
    const [rows, columns] = [[...Array(down).keys()], [...Array(across).keys()]];
    // Values of tasks are still to come: there is room for them.
    if (this.ofTasks)
      return { slice, value, labels, columns, rows: [...Array(Math.max(down, across)).keys()] };
    return {
      slice,
      value,
      rows: rows.filter((row) => columns.some((column) => !Number.isNaN(value(row, column)))),
      columns: columns.filter((column) => rows.some((row) => !Number.isNaN(value(row, column)))),
      labels,
    };
  }

  /** Of copies their steps, where they are known. */
  private labels(place: 0 | 1, slice: Slice, store: Store): string[] {
    const dim = this.spec.dims?.[place] ?? "";
    const steps = COPIES.includes(dim) ? beside(store, this.spec.steps, slice) : null;
    if (steps) return [...steps].map((step) => (Number.isNaN(step) ? "" : number(step)));
    return (this.spec.coords?.[dim] ?? []).map(String);
  }

  private write(figure: Figure, height: number, cell: number): void {
    const { rows, columns, labels } = this.square ?? EMPTY;
    const told = (kept: number[], place: 0 | 1, at: (k: number) => number) => {
      const every = Math.max(1, Math.ceil(kept.length / LABELLED));
      return new Map(kept.flatMap((i, k) => (k % every ? [] : [[at(k), short(labels(place)[i] ?? "")]])));
    };
    const [down, across] = [told(rows, 0, (k) => height - k - 0.5), told(columns, 1, (k) => k + 0.5)];
    figure.model("rows").setv({ ticks: [...down.keys()] });
    figure.model("columns").setv({ ticks: [...across.keys()] });
    figure.model("y_axis").setv({ major_label_overrides: down });
    const between = cell * Math.max(1, Math.ceil(columns.length / LABELLED)); // pixels from label to label
    const long = [...across.values()].some((text) => (text.length + 1) * LETTER > between);
    const aslant = long ? Math.PI / 4 : "horizontal";
    figure.model("x_axis").setv({ major_label_overrides: across, major_label_orientation: aslant });
  }
}

const EMPTY = { rows: [], columns: [], value: () => Number.NaN, labels: () => [] } as Omit<Square, "slice">;
