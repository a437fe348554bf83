import { minmax } from "./decimate";
import type { Message } from "./messages";
import type { RangeHead } from "./types";

export const LIMIT = 2 ** 17;
const FEW = 8;
const CELLS = 2 ** 21;
const ENOUGH = 4096; // rows in view, two for a pixel
const CLOSE = 4; // times as many steps as are in view
let stamps = 0;

/** The rows of one variable: steps and values, `width` values to a row. Bounded, and grows by doubling. */
export class Block {
  rows = 0;
  /** Another one whenever there are other rows, and for each block. */
  stamp = ++stamps;
  /** Whether there were more rows. */
  thin = false;
  private steps: Float64Array;
  private values: Float64Array;

  constructor(
    readonly width: number,
    capacity = Math.max(8, Math.min(1024, Math.floor(2 ** 16 / width))),
    private readonly bounded = true,
  ) {
    this.steps = new Float64Array(capacity);
    this.values = new Float64Array(capacity * width);
  }

  /** Steps of all rows. */
  x(): Float64Array {
    return this.steps.subarray(0, this.rows);
  }

  /** One value of all rows. */
  column(place: number): Float64Array {
    if (this.width === 1) return this.values.subarray(0, this.rows);
    const out = new Float64Array(this.rows);
    for (let i = 0; i < this.rows; i++) out[i] = this.values[i * this.width + place]!;
    return out;
  }

  /** The values of one row. */
  row(i: number): Float64Array {
    return this.values.subarray(i * this.width, (i + 1) * this.width);
  }

  /** The last row at or before a step; -1 where there is none. */
  at(step: number): number {
    let low = 0;
    let high = this.rows;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle]! <= step) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  append(steps: Float64Array, values: Float64Array): void {
    const end = this.rows + steps.length;
    if (end > this.steps.length) this.resize(Math.max(end, 2 * this.steps.length));
    this.steps.set(steps, this.rows);
    this.values.set(values, this.rows * this.width);
    this.rows = end;
    this.stamp = ++stamps;
    if (this.bounded && this.rows > this.limit()) this.compact();
  }

  /** The same with other rows in place of those from a step to another. */
  replaced(from: number, to: number, steps: Float64Array, values: Float64Array): Block {
    const after = this.at(to) + 1;
    let before = this.at(from) + 1;
    while (before > 0 && this.steps[before - 1] === from) before--;
    const { width } = this;
    const made = new Block(width, before + steps.length + this.rows - after, false);
    made.append(this.steps.subarray(0, before), this.values.subarray(0, before * width));
    made.append(steps, values);
    made.append(
      this.steps.subarray(after, this.rows),
      this.values.subarray(after * width, this.rows * width),
    );
    return made;
  }

  private limit(): number {
    return this.width <= FEW ? LIMIT : Math.max(1024, Math.min(LIMIT, CELLS / this.width));
  }

  /** Halve the rows: curves keep their extremes, fields every second row. */
  private compact(): void {
    const kept = this.width <= FEW ? this.extremes() : this.everySecond();
    kept.forEach((from, to) => {
      this.steps[to] = this.steps[from]!;
      this.values.copyWithin(to * this.width, from * this.width, (from + 1) * this.width);
    });
    this.rows = kept.length;
    this.thin = true;
  }

  private extremes(): number[] {
    const kept = new Set<number>();
    const buckets = Math.floor(LIMIT / 4 / this.width);
    for (let place = 0; place < this.width; place++) {
      for (const i of minmax(this.x(), this.column(place), buckets)) kept.add(i);
    }
    return [...kept].sort((a, b) => a - b);
  }

  private everySecond(): number[] {
    return Array.from({ length: Math.ceil(this.rows / 2) }, (_, i) => 2 * i + ((this.rows - 1) % 2));
  }

  private resize(capacity: number): void {
    const steps = new Float64Array(capacity);
    const values = new Float64Array(capacity * this.width);
    steps.set(this.x());
    values.set(this.values.subarray(0, this.rows * this.width));
    this.steps = steps;
    this.values = values;
  }
}

/** A row that is being measured. */
export interface Draft {
  step: number;
  values: Float64Array;
}

/** The rows from a step to another, closer than those that are kept of the whole. */
interface Range {
  from: number;
  to: number;
  thin: boolean;
  steps: Float64Array;
  values: Float64Array;
  /** The whole with these rows. */
  block: Block;
}

/** All that the browser knows of a run, by key of the variable. */
export class Store {
  /** How many messages had everything, and how many the rows of a range. */
  resets = 0;
  answers = 0;
  private blocks = new Map<string, Block>();
  private ranges = new Map<string, Range>();
  private drafts = new Map<string, Draft>();
  private seq: number | null = null;

  get(key: string): Block | undefined {
    return this.ranges.get(key)?.block ?? this.blocks.get(key);
  }

  every(): Iterable<Block> {
    return [...this.blocks.keys()].map((key) => this.get(key)!);
  }

  /** What is being measured of a variable. */
  draft(key: string): Draft | undefined {
    return this.drafts.get(key);
  }

  /** The earliest step of all. */
  first(): number | null {
    const firsts = [...this.blocks.values()].flatMap((block) => (block.rows ? [block.x()[0]!] : []));
    return firsts.length ? Math.min(...firsts) : null;
  }

  /** Take in a message. False: something is missing before it, ask for everything. */
  apply({ head, buffers }: Message): boolean {
    if (head.op === "reset") {
      this.resets++;
      this.blocks.clear();
      this.ranges.clear();
    } else if (this.seq === null || head.seq !== this.seq + 1) return false;
    for (const { key, x, y, width, thin } of head.series) {
      const block = this.blocks.get(key) ?? new Block(width);
      if (block.width !== width) return false;
      this.blocks.set(key, block);
      this.append(key, block, buffers[x]!, buffers[y]!);
      block.thin ||= thin === true;
    }
    this.drafts.clear();
    for (const { key, x, y } of head.drafts ?? []) {
      this.drafts.set(key, { step: buffers[x]!.at(-1)!, values: buffers[y]! });
    }
    this.seq = head.seq;
    return true;
  }

  /** Take in the rows of a range of steps. */
  look({ from, to, series }: RangeHead, buffers: Float64Array[]): void {
    this.answers++;
    for (const { key, x, y, width, thin } of series) {
      const whole = this.blocks.get(key);
      const [steps, values] = [buffers[x]!, buffers[y]!];
      if (whole?.width !== width || !steps.length) continue;
      const block = whole.replaced(from, steps.at(-1)!, steps, values);
      this.ranges.set(key, { from, to, thin: thin === true, steps, values, block });
    }
  }

  /** Whether there are more rows of the steps in view than are here, and too few here to fill a picture. */
  lacks(key: string, from: number, to: number): boolean {
    const whole = this.blocks.get(key);
    const range = this.ranges.get(key);
    if (!whole?.rows) return false;
    const within = range !== undefined && range.from <= from && range.to >= to;
    const known = within ? range : { thin: whole.thin, from: whole.x()[0]!, to: whole.x().at(-1)! };
    const here = this.get(key)!;
    const far = known.to - known.from >= CLOSE * (to - from);
    return known.thin && far && here.at(to) - here.at(from) < ENOUGH;
  }

  /** Let go of ranges: all, or those out of view. */
  forget(from = Number.NaN, to = Number.NaN): void {
    for (const [key, range] of this.ranges)
      if (!(range.from <= to && range.to >= from)) this.ranges.delete(key);
  }

  private append(key: string, block: Block, steps: Float64Array, values: Float64Array): void {
    const rows = block.rows + steps.length;
    block.append(steps, values);
    const range = this.ranges.get(key);
    if (!range) return;
    if (block.rows === rows) range.block.append(steps, values);
    else range.block = block.replaced(range.from, range.steps.at(-1)!, range.steps, range.values);
  }
}
