import { ALIKE } from "./plane";
import { beside, type Slice, sliceAt } from "./slices";
import type { Store } from "./store";
import type { PanelSpec } from "./types";

/** Values along a line, by the rules of nbtoolkit/panels/profile.py. */

export interface Profile {
  /** Coordinates, ascending, and values; what was not measured is left out. */
  x: Float64Array;
  y: Float64Array;
  /** The straight line between both ends of a path from one model (0) to another (1); empty for other lines. */
  chord: Float64Array;
}

export interface Barrier {
  x: number;
  foot: number;
  head: number;
  value: number;
}

/** Dims whose labels are numbers, and their names. */
const PLACES: Record<string, string> = { alpha: "α", probe_step: "step of the probe" };

export const hasAlpha = (spec: PanelSpec): boolean => spec.dims?.[0] === "alpha";

/** What the labels of the axis are, where they are places on it; copies have their steps, or their order. */
export const placesOf = (spec: PanelSpec): string | undefined => PLACES[spec.dims?.[0] ?? ""];

/** One line of a panel in the row in force at a step, and the row. */
export function profileAt(
  spec: PanelSpec,
  key: string,
  store: Store,
  step: number | null,
): { slice: Slice; profile: Profile } | null {
  const slice = sliceAt(store, key, step);
  return slice && { slice, profile: profileOf(spec, slice, store) };
}

export function profileOf(spec: PanelSpec, slice: Slice, store: Store): Profile {
  const labels = (spec.coords?.[spec.dims?.[0] ?? ""] ?? []).map(Number);
  const steps = placesOf(spec) ? null : beside(store, spec.steps, slice);
  const at = (i: number) => (placesOf(spec) ? labels[i]! : steps ? steps[i]! : i);
  const kept = [...slice.values.keys()]
    .filter((i) => !Number.isNaN(slice.values[i]!) && Number.isFinite(at(i)))
    .sort((a, b) => at(a) - at(b));
  const x = Float64Array.from(kept, at);
  const y = Float64Array.from(kept, (i) => slice.values[i]!);
  const [first, last] = [y[0]!, y.at(-1)!];
  const between = x.length > 1 && Math.max(Math.abs(x[0]!), Math.abs(x.at(-1)! - 1)) <= ALIKE;
  const joined = hasAlpha(spec) && between && Number.isFinite(first + last);
  return { x, y, chord: joined ? x.map((a) => (1 - a) * first + a * last) : new Float64Array(0) };
}

/** The largest height above the chord, and where it is. */
export function barrierOf({ x, y, chord }: Profile): Barrier | null {
  let found: Barrier | null = null;
  chord.forEach((foot, i) => {
    const value = y[i]! - foot;
    if (Number.isFinite(value) && (!found || value > found.value)) {
      found = { x: x[i]!, foot, head: y[i]!, value };
    }
  });
  return found;
}
