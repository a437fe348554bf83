import { ends as bandEnds, errorsAt, outline } from "../bands";
import { minmax } from "../decimate";
import { spread } from "../ends";
import { deepest, type Episode, episodesOf, type Gap, gapsOf } from "../episodes";
import { number, short } from "../format";
import { type Figure, type Picture, reason, type Under } from "../picture";
import { type Reading, readCurves } from "../reading";
import type { Store } from "../store";
import type { Line, PanelSpec } from "../types";

/** As in nbtoolkit/panels/gap.py. */
const [BOTTOM, TOP] = [-0.06, 1.13];
const DOTS = 80;
const HEAD = 1.115;
const CATEGORIES = 8;
const WIDTH = { curve: 1.2, trained: 2.8 };
const FADED = 0.15;
const LETTER = 6.3; // pixels
const NEAR = 10; // pixels from a curve
const SHOWN = 16; // letters of a name

/** All that is known of a stream: steps, the curve of each task, the episodes. */
interface Stream {
  steps: Float64Array;
  curves: Float64Array[];
  episodes: Episode[];
}

/** Accuracy on every task over the step, with the gaps that a new task tears into that of earlier ones. */
export class GapPicture implements Picture {
  readonly alongSteps = true;
  readonly wide = true;
  readonly help = "Up and Down: the tasks; Enter or a click: keep one in front";
  private pinned: string | null = null;

  constructor(private readonly spec: PanelSpec) {}

  label(figure: Figure): void {
    figure.model("y_axis").setv({ axis_label: this.spec.units });
  }

  draw(figure: Figure): string {
    const { all, frame, store } = figure;
    this.pinned = this.spec.lines.some((line) => line.label === figure.pinned) ? figure.pinned : null;
    const lines = figure.lines();
    if (figure.freeSteps) {
      const named = this.named(lines).map((line) => short(line.label, SHOWN).length);
      const room = Math.min(0.3 * frame.width, LETTER * Math.max(0, ...named) + 12);
      const end = all[1] + ((all[1] - all[0]) * room) / (frame.width - room);
      figure.span("x_range", figure.window ?? [all[0], end]);
    }
    if (figure.free) figure.span("y_range", [BOTTOM, TOP]);
    const stream = this.stream(store);
    const gaps = stream ? this.inFront(gapsOf(stream.steps, stream.curves, stream.episodes)) : [];
    this.fillCurves(figure, stream, lines);
    this.fillDots(figure, stream, lines);
    const worst = deepest(gaps);
    // The areas of many tasks would cover each other.
    const few = lines.length <= CATEGORIES || this.pinned !== null;
    this.fillGaps(figure, few ? gaps : worst ? [worst] : [], lines);
    this.nameEpisodes(figure, stream, lines);
    this.nameEnds(figure, stream, lines);
    this.band(figure, stream, lines);
    return stream?.curves.some((curve) => curve.some(Number.isFinite)) ? "" : reason(this.spec, store);
  }

  /** The curve next to a place, if one is near. */
  under(x: number, y: number, figure: Figure): Under {
    const block = figure.store.get(this.spec.lines[0]!.key);
    const i = block ? Math.max(0, block.at(x)) : -1;
    const row = block && i < block.rows ? block.row(i) : null;
    const apart = (task: number) => (Math.abs(row![task]! - y) / (TOP - BOTTOM)) * figure.frame.height;
    const near = row ? [...row.keys()].filter((task) => apart(task) <= NEAR) : [];
    near.sort((a, b) => apart(a) - apart(b));
    return { step: x, row: near[0] ?? null };
  }

  pins(task: number): string | null {
    return this.spec.lines[task]?.label ?? null;
  }

  read(lines: Line[], store: Store, step: number | null, task: number | null): Reading[] {
    const chosen = task === null ? lines.findIndex((line) => line.label === this.pinned) : task;
    const shown = chosen >= 0 && lines[chosen] ? [lines[chosen]] : lines;
    if (step !== null) return this.at(shown, store, step);
    const stream = this.stream(store);
    return stream ? [...this.now(stream, shown), ...this.fall(stream, lines)] : [];
  }

  walk(key: string, _: boolean, task: number | null): number | undefined {
    const by = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (!by) return undefined;
    return task === null ? 0 : Math.min(this.spec.lines.length - 1, Math.max(0, task + by));
  }

  /** The values at a step, each with its name. */
  private at(shown: Line[], store: Store, step: number): Reading[] {
    const told = readCurves(this.spec, shown, store, step);
    if (shown.length > 1) return told;
    const { label, color } = shown[0]!;
    return told.map((one, i) => (i ? { text: `${label} ${one.text}`, color } : one));
  }

  /** The mean over the tasks trained so far, or over all where that is not known, or the value of the one in front. */
  private now({ curves, episodes }: Stream, shown: Line[]): Reading[] {
    if (shown.length === 1) {
      const [one] = shown as [Line];
      return [{ text: `${one.label} ${number(lastOf(curves[one.column]!), 3)}`, color: one.color }];
    }
    const trained = [...new Set(episodes.map((episode) => episode.task))];
    const tasks = trained.length ? trained : [...curves.keys()];
    const mean = tasks.reduce((sum, task) => sum + lastOf(curves[task]!), 0) / tasks.length;
    const words = tasks.length > 1 ? `mean of ${tasks.length} tasks` : this.spec.lines[tasks[0]!]!.label;
    const told = Number.isNaN(mean) ? [] : [{ text: `${words} ${number(mean, 3)}`, color: null }];
    return trained.length || !told.length ? told : [...told, { text: "no boundaries told", color: null }];
  }

  /** The deepest gap: level, lowest, and what it came back to. */
  private fall({ steps, curves, episodes }: Stream, lines: Line[]): Reading[] {
    const worst = deepest(this.inFront(gapsOf(steps, curves, episodes)));
    if (!worst) return this.isLeft(episodes) ? [{ text: "no gap", color: null }] : [];
    const episode = episodes[worst.episode]!;
    const after = number(worst.at - episode.begin);
    const from = `${this.pinned ? "" : `${lines[worst.task]!.label} `}${number(worst.level, 3)}`;
    const path = `${from} → ${number(worst.lowest, 3)} → ${number(worst.back, 3)}`;
    const when = `lowest ${after} step${after === "1" ? "" : "s"} after ${lines[episode.task]!.label} began`;
    return [{ text: `worst dip: ${path}, ${when}`, color: null }];
  }

  /** Whether a task, or the one in front, was trained before another, so that there might have been a gap. */
  private isLeft(episodes: Episode[]): boolean {
    const label = (episode: Episode) => this.spec.lines[episode.task]!.label;
    const first = episodes.findIndex((one) => this.pinned === null || label(one) === this.pinned);
    return first >= 0 && episodes.slice(first).some((one) => one.task !== episodes[first]!.task);
  }

  private inFront(gaps: Gap[]): Gap[] {
    return gaps.filter((gap) => this.pinned === null || this.spec.lines[gap.task]!.label === this.pinned);
  }

  private stream(store: Store): Stream | null {
    const block = store.get(this.spec.lines[0]?.key ?? "");
    if (!block?.rows) return null;
    const steps = block.x();
    const training = store.get(this.spec.training ?? "");
    const now = Array.from(steps, (step) => {
      const i = training?.at(step) ?? -1;
      return i < 0 ? -1 : training!.row(i).indexOf(1);
    });
    const curves = this.spec.lines.map(({ column }) =>
      column < block.width ? block.column(column) : new Float64Array(block.rows).fill(Number.NaN),
    );
    return { steps, curves, episodes: episodesOf(steps, now) };
  }

  private fillCurves(figure: Figure, stream: Stream | null, lines: Line[]): void {
    const data = { xs: [], ys: [], color: [], width: [], alpha: [] } as Record<string, unknown[]>;
    const { start, end } = figure.range("x_range");
    const add = (task: number, first: number, last: number, width: number) => {
      const { steps, curves } = stream!;
      const [from, to] = [Math.max(first, before(steps, start)), Math.min(last, before(steps, end) + 1)];
      if (to < from) return;
      const kept = minmax(steps, curves[task]!, Math.max(50, Math.round(figure.frame.width)), from, to + 1);
      data.xs!.push(kept.map((i) => steps[i]!));
      data.ys!.push(kept.map((i) => curves[task]![i]!));
      data.color!.push(lines[task]!.color);
      data.width!.push(width);
      data.alpha!.push(this.pinned === null || lines[task]!.label === this.pinned ? 1 : FADED);
    };
    if (stream) {
      const last = stream.steps.length - 1;
      for (const task of lines.keys()) add(task, 0, last, WIDTH.curve);
      for (const one of stream.episodes) add(one.task, one.first, one.last, WIDTH.trained);
    }
    figure.source("data").data = data;
  }

  /** The samples, where they are few: a line across a hole is no measurement. */
  private fillDots(figure: Figure, stream: Stream | null, lines: Line[]): void {
    const data = { x: [], y: [], color: [], alpha: [] } as Record<string, unknown[]>;
    if (stream && stream.steps.length <= DOTS) {
      for (const { label, color, column } of lines) {
        stream.curves[column]!.forEach((y, i) => {
          if (!Number.isFinite(y)) return;
          data.x!.push(stream.steps[i]!);
          data.y!.push(y);
          data.color!.push(color);
          data.alpha!.push(this.pinned === null || label === this.pinned ? 1 : FADED);
        });
      }
    }
    figure.source("dots").data = data;
  }

  private fillGaps(figure: Figure, gaps: Gap[], lines: Line[]): void {
    figure.source("gaps").data = {
      xs: gaps.map(({ x }) => x),
      ys: gaps.map(({ y }) => y),
      color: gaps.map(({ task }) => lines[task]!.color),
      back: gaps.map(({ back }) => back),
      start: gaps.map(({ x }) => x[0]!),
      end: gaps.map(({ x }) => x.at(-1)!),
    };
    const worst = deepest(gaps);
    figure.source("worst").data = {
      x: worst ? [worst.at] : [],
      y: worst ? [worst.lowest] : [],
      color: worst ? [lines[worst.task]!.color] : [],
    };
  }

  /** The curves with names at their ends: of many tasks only the one in front. */
  private named(lines: Line[]): Line[] {
    return lines.length <= CATEGORIES ? lines : lines.filter((line) => line.label === this.pinned);
  }

  /** The name of a task where it begins, unless it would run into the one before. */
  private nameEpisodes(figure: Figure, stream: Stream | null, lines: Line[]): void {
    const { start, end } = figure.range("x_range");
    const pixels = (x: number) => ((x - start) / (end - start)) * figure.frame.width;
    let free = Number.NEGATIVE_INFINITY;
    const found = (stream?.episodes ?? []).map(({ task, begin }) => {
      const text = short(lines[task]!.label, SHOWN);
      const room = pixels(begin) >= free;
      if (room) free = pixels(begin) + LETTER * (text.length + 1);
      return { x: begin, text: room ? text : "", color: lines[task]!.color };
    });
    figure.source("boundaries").data = {
      x: found.map((one) => one.x),
      y: found.map(() => HEAD),
      text: found.map((one) => one.text),
      color: found.map((one) => one.color),
    };
  }

  private nameEnds(figure: Figure, stream: Stream | null, lines: Line[]): void {
    const unit = (TOP - BOTTOM) / Math.max(1, figure.frame.height);
    const ends = this.named(lines).flatMap(({ label, color, column }) => {
      const y = stream ? lastOf(stream.curves[column]!) : Number.NaN;
      const seen = this.pinned === null || this.pinned === label;
      return Number.isNaN(y) || !seen ? [] : [{ at: (y - BOTTOM) / unit, text: short(label, SHOWN), color }];
    });
    ends.sort((a, b) => a.at - b.at);
    spread(ends, (1 - BOTTOM) / unit);
    figure.source("ends").data = {
      x: ends.map(() => stream!.steps.at(-1)!),
      y: ends.map((end) => end.at * unit + BOTTOM),
      text: ends.map((end) => end.text),
      color: ends.map((end) => end.color),
    };
  }

  /** The standard error of the task in front. */
  private band(figure: Figure, stream: Stream | null, lines: Line[]): void {
    const line = lines.find(({ label }) => label === this.pinned);
    const errors = line && stream ? errorsAt(line, figure.store, stream.steps) : null;
    const curve = line && stream ? stream.curves[line.column]! : null;
    const both = errors && curve ? bandEnds(curve, errors, "linear") : null;
    figure.source("band").data = both ? outline(stream!.steps, both.low, both.high) : { x: [], y: [] };
    if (line) figure.model("band_of_one").setv({ fill_color: { value: line.color } });
  }
}

/** The last row at or before a step, or the first. */
function before(steps: Float64Array, step: number): number {
  let i = steps.length - 1;
  while (i > 0 && steps[i]! > step) i--;
  return i;
}

/** The last value that is known. */
function lastOf(curve: Float64Array): number {
  for (let i = curve.length - 1; i >= 0; i--) if (Number.isFinite(curve[i])) return curve[i]!;
  return Number.NaN;
}
