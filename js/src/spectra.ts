import { outliers, outlierValues, type Ritz } from "./outliers";
import type { Block } from "./store";

/** As in nbtoolkit/analysis/spectra.py. */
const WIDTH = 0.05;
export const BINS = 400;
const REACH = 6;
const ENDS = 0.5;
const DEEPEST = 1e-4;
/** Widths of the kernel after which nothing of it is seen. */
const NOTHING = 8;
/** As in nbtoolkit/panels/spectrum.py: smaller bumps are rounding. */
const LEAST = 1e-14;
/** Of the largest magnitude: eigenvalues smaller than this may as well be 0, as in instruments/_hessian_density.py. */
const NOISE = 1e-6;

/** What is told of the spectrum at one step. */
export interface Summary {
  largest: number;
  smallest: number;
  /** Share of the spectrum below zero. */
  negative: number;
  outliers: number[];
}

/** The spectra of a run, one for each row: densities on one asinh axis, computed when first asked for. */
export class Spectra {
  /** Of the axis: linear within it, logarithmic beyond. */
  scale = 1;
  low = -1;
  high = 1;
  /** Density at each row, the smallest eigenvalue first. */
  densities: Float64Array[] = [];
  private sizes: number[] = [];
  private ends: [number, number] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

  constructor(
    readonly values: Block,
    private readonly weights: Block | undefined,
    private readonly probes: number,
    private readonly nodes: number,
  ) {}

  /** Take in the rows that came; what was computed stays while the axis does. */
  refresh(): this {
    if (this.values.rows === this.sizes.length) return this;
    if (this.values.rows < this.sizes.length) this.sizes = [];
    for (let i = this.sizes.length; i < this.values.rows; i++) {
      const ritz = this.ritz(i);
      this.sizes.push(bulkSize(ritz, outliers(ritz)));
      for (const value of ritz.values) {
        if (Number.isFinite(value))
          this.ends = [Math.min(this.ends[0], value), Math.max(this.ends[1], value)];
      }
    }
    const axis = [this.scale, this.low, this.high];
    this.setAxis();
    if (String(axis) !== String([this.scale, this.low, this.high])) this.densities = [];
    for (let i = this.densities.length; i < this.values.rows; i++) this.densities.push(this.density(i).mean);
    return this;
  }

  /** Ritz values and weights of a row. */
  ritz(i: number): Ritz {
    const values = this.values.row(i);
    const weights =
      this.weights && i < this.weights.rows ? this.weights.row(i) : equalWeights(values, this.nodes);
    return { values, weights, probes: this.probes, nodes: this.nodes };
  }

  /** Mean over the probes of the density at a row, and its standard error; NaN where there is a single probe. */
  density(i: number): { mean: Float64Array; error: Float64Array } {
    return density(this.ritz(i), this.scale, this.places());
  }

  /** The places of the densities on the asinh axis. */
  places(): Float64Array {
    return Float64Array.from(
      { length: BINS },
      (_, i) => this.low + (i * (this.high - this.low)) / (BINS - 1),
    );
  }

  /** The last row at or before a step, or of all, that was measured; -1 where there is none. */
  row(step: number | null): number {
    let i = step === null ? this.values.rows - 1 : this.values.at(step);
    while (i >= 0 && !this.values.row(i).some(Number.isFinite)) i--;
    return i;
  }

  summary(i: number): Summary {
    const ritz = this.ritz(i);
    const kept = ritz.values.filter(
      (value, k) => Number.isFinite(value) && Number.isFinite(ritz.weights[k]!),
    );
    const [largest, smallest] = [Math.max(...kept), Math.min(...kept)];
    const zero = -NOISE * Math.max(largest, -smallest);
    let [below, all] = [0, 0];
    ritz.values.forEach((value, k) => {
      const weight = ritz.weights[k]!;
      if (!Number.isFinite(value) || !Number.isFinite(weight)) return;
      all += weight;
      if (value < zero) below += weight;
    });
    return {
      largest,
      smallest,
      negative: below / all,
      outliers: outlierValues(ritz, outliers(ritz)),
    };
  }

  private setAxis(): void {
    const known = this.sizes.filter(Number.isFinite).sort((a, b) => a - b);
    if (!known.length) return;
    const middle = known.length / 2;
    const size = (known[Math.ceil(middle) - 1]! + known[Math.floor(middle)]!) / 2;
    const [low, high] = this.ends;
    this.scale = rounded(Math.max(size, DEEPEST * Math.max(Math.abs(low), Math.abs(high))));
    this.low = ENDS * Math.floor((Math.asinh(low / this.scale) - REACH * WIDTH) / ENDS);
    this.high = ENDS * Math.ceil((Math.asinh(high / this.scale) + REACH * WIDTH) / ENDS);
  }
}

const equalWeights = (values: Float64Array, nodes: number) => {
  const weights = new Float64Array(values.length).fill(Number.NaN);
  for (let from = 0; from < values.length; from += nodes) {
    const count = values.subarray(from, from + nodes).filter(Number.isFinite).length;
    for (let i = from; i < from + nodes; i++) if (Number.isFinite(values[i]!)) weights[i] = 1 / count;
  }
  return weights;
};

/** Root mean square of the Ritz values that are no outliers. */
function bulkSize({ values, weights }: Ritz, beyond: boolean[]): number {
  let [sum, all] = [0, 0];
  values.forEach((value, i) => {
    const weight = weights[i]!;
    if (beyond[i] || !Number.isFinite(value) || !Number.isFinite(weight)) return;
    sum += weight * value ** 2;
    all += weight;
  });
  return Math.sqrt(sum / all);
}

/** Density of one measurement, and its standard error, at evenly spaced places of the asinh axis. */
export function density(
  ritz: Ritz,
  scale: number,
  places: Float64Array,
): { mean: Float64Array; error: Float64Array } {
  const curves: Float64Array[] = [];
  const step = places[1]! - places[0]!;
  for (let probe = 0; probe < ritz.probes; probe++) {
    const curve = new Float64Array(places.length);
    let any = false;
    for (let k = probe * ritz.nodes; k < (probe + 1) * ritz.nodes; k++) {
      const weight = ritz.weights[k]!;
      if (!Number.isFinite(ritz.values[k]!) || !Number.isFinite(weight)) continue;
      any = true;
      const centre = Math.asinh(ritz.values[k]! / scale);
      const height = weight / (Math.sqrt(2 * Math.PI) * WIDTH);
      const from = Math.max(0, Math.ceil((centre - NOTHING * WIDTH - places[0]!) / step));
      const to = Math.min(places.length - 1, Math.floor((centre + NOTHING * WIDTH - places[0]!) / step));
      for (let i = from; i <= to; i++) {
        curve[i] = curve[i]! + height * Math.exp(-0.5 * ((places[i]! - centre) / WIDTH) ** 2);
      }
    }
    if (any) curves.push(curve);
  }
  const count = curves.length;
  const mean = places.map((_, i) => curves.reduce((sum, curve) => sum + curve[i]!, 0) / count);
  const error = places.map((_, i) =>
    Math.sqrt(curves.reduce((sum, curve) => sum + (curve[i]! - mean[i]!) ** 2, 0) / (count - 1) / count),
  );
  const slope = (i: number) => 1 / (scale * Math.cosh(places[i]!));
  return { mean: mean.map((value, i) => value * slope(i)), error: error.map((value, i) => value * slope(i)) };
}

/** The lowest and the highest bump of all rows. */
export function bumps(densities: Float64Array[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const row of densities) {
    const found: number[] = [];
    for (let i = 1; i + 1 < row.length; i++) {
      if (row[i]! > row[i - 1]! && row[i]! >= row[i + 1]!) found.push(row[i]!);
    }
    const top = Math.max(...found);
    for (const bump of found) if (bump > LEAST * top) low = Math.min(low, bump);
    high = Math.max(high, top);
  }
  if (low > high) return [1e-3, 1];
  return [low, high];
}

/** The nearest of 1, 2 and 5 times a power of ten; 1 for nothing. */
export function rounded(value: number): number {
  if (!(value > 0)) return 1;
  const power = Math.floor(Math.log10(value));
  const first = value / 10 ** power;
  return Number(`${first < 1.5 ? 1 : first < 3.5 ? 2 : first < 7.5 ? 5 : 10}e${power}`);
}

const known = new WeakMap<Block, Spectra>();

/** The spectra of these Ritz values, with all rows that came; null where rows are not of these sizes. */
export function spectraOf(
  values: Block | undefined,
  weights: Block | undefined,
  sizes: number[],
): Spectra | null {
  const [probes = 0, nodes = 0] = sizes;
  if (!values?.rows || probes * nodes !== values.width) return null;
  let found = known.get(values);
  if (!found) {
    found = new Spectra(values, weights, probes, nodes);
    known.set(values, found);
  }
  return found.refresh();
}
