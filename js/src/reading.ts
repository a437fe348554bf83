import { errorsAt, lineAt } from "./bands";
import { number, short, whole } from "./format";
import type { Block, Store } from "./store";
import type { Line, PanelSpec } from "./types";

/** One value read off a panel. */
export interface Reading {
  text: string;
  color: string | null;
}

const FEW = 5;
const BRIEF = 2; // more values than this are told with fewer digits
const LETTERS = 34;

/** The values of curves at a step, with the step they are of, or now: exact samples, not what was drawn. */
export function readCurves(spec: PanelSpec, lines: Line[], store: Store, step: number | null): Reading[] {
  const several = lines.length > 1;
  const values: Reading[] = lines.slice(0, FEW).flatMap((line): Reading[] => {
    const block = store.get(line.key);
    const i = block ? sample(block, line, step) : -1;
    if (!block || i < 0) return [];
    const value = block.row(i)[line.column]!;
    const error = errorsAt(line, store, block.x().subarray(i, i + 1))?.[0] ?? Number.NaN;
    const bound = Number.isFinite(error) ? ` ± ${number(error, 2)}` : "";
    const known = Math.min(lines.length > BRIEF ? 4 : digits(step), within(value, error));
    return several
      ? [{ text: `${line.label} ${number(value, known)}${bound}`, color: line.color }]
      : [
          {
            text: amount(value, spec, step, bound) + against(value, line, store, block.x()[i]!),
            color: null,
          },
        ];
  });
  const first = lines.find((line) => sampleOf(line, store, step) >= 0);
  const block = store.get(first?.key ?? "");
  if (!first || !block) return values;
  const at = sample(block, first, step);
  const line = several ? lineAt(first, store, block.x()[at]!) : Number.NaN;
  const reference = Number.isFinite(line)
    ? [{ text: `${nameOf(first) || "line"} ${number(line, 4)}`, color: null }]
    : [];
  return [...when(block, at, step), ...values, ...reference];
}

/** Where a value stands to its line, with the line's name: within a tenth of it is at the line. */
function against(value: number, line: Line, store: Store, step: number): string {
  const at = lineAt(line, store, step);
  if (!Number.isFinite(at) || !Number.isFinite(value) || value === at) return "";
  const named = nameOf(line);
  const near = Math.abs(value - at) <= 0.1 * Math.abs(at);
  const where = near ? (named ? "at" : "about") : value > at ? "above" : "below";
  return `, ${where} ${named && `the ${named} `}${number(at, 4)}`;
}

/** What a line is of; of a constant there is no more to say than its value. */
const nameOf = ({ line }: Line): string => (line && typeof line === "object" ? line.label : "");

const digits = (step: number | null) => (step === null ? 4 : 6);

/** Digits of a value down to a hundredth of its error. */
function within(value: number, error: number): number {
  const size = Math.abs(value / error);
  return size > 0 && Number.isFinite(size) ? Math.max(3, Math.ceil(Math.log10(size)) + 2) : 6;
}

/** A value with its unit. */
export function amount(value: number | undefined, spec: PanelSpec, step: number | null, bound = ""): string {
  const unit = spec.units && !Number.isNaN(value) ? `\u00a0${spec.units}` : "";
  return number(value, digits(step)) + bound + unit;
}

/** The step of a sample, where the reader asked for one. */
function when(block: Block, i: number, step: number | null): Reading[] {
  return step === null ? [] : [{ text: `step ${whole(block.x()[i]!)}`, color: null }];
}

/** The steps that have samples in a panel, to walk along them. */
export function stepsOf(spec: PanelSpec, store: Store): Float64Array {
  return store.get(spec.lines[0]?.key ?? "")?.x() ?? new Float64Array(0);
}

/** The last sample at or before a step, or the last of all; -1 where there is none. */
function sample(block: Block, line: Line, step: number | null): number {
  if (line.column >= block.width) return -1;
  return step === null ? block.rows - 1 : block.at(step);
}

function sampleOf(line: Line, store: Store, step: number | null): number {
  const block = store.get(line.key);
  return block ? sample(block, line, step) : -1;
}

/** The value under the pointer; elsewhere the largest of the row, which is where trouble begins. */
export function readField(spec: PanelSpec, store: Store, step: number | null, row: number | null): Reading[] {
  const block = store.get(spec.lines[0]?.key ?? "");
  const i = block ? (step === null ? block.rows - 1 : block.at(step)) : -1;
  if (!block || i < 0) return [];
  const values = block.row(i);
  const place = row ?? largest(values);
  const line = spec.lines[place];
  if (!line) return [...when(block, i, step), { text: number(Number.NaN), color: null }];
  const text = `${row === null ? "largest " : ""}${amount(values[place], spec, step)} in ${short(line.label, LETTERS)}`;
  return [...when(block, i, step), { text, color: null }];
}

/** The task that is being trained at a step, or now. */
export function readTraining(spec: PanelSpec, store: Store, step: number | null): Reading[] {
  const block = store.get(spec.lines[0]?.key ?? "");
  const i = block ? (step === null ? block.rows - 1 : block.at(step)) : -1;
  if (!block || i < 0) return [];
  const name = spec.lines[block.row(i).indexOf(1)]?.label;
  return [...when(block, i, step), { text: name ?? "no task is being trained", color: null }];
}

function largest(values: Float64Array): number {
  let place = -1;
  values.forEach((value, i) => {
    if (Number.isFinite(value) && (place < 0 || value > values[place]!)) place = i;
  });
  return place;
}
