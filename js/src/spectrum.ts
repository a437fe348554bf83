import { outline } from "./bands";
import type { BokehModel, Range, Source } from "./bokeh";
import { ticks } from "./eigenaxis";
import { BINS, bumps, type Spectra } from "./spectra";
import type { Scale } from "./types";

/** As in nbtoolkit/panels/spectrum.py: height of the stroke at each Ritz value, as a share of the frame. */
const RUG = 0.05;

/** Ends of the axis of densities, the same for all rows: from well below the lowest bump to above the highest. */
export function densityAxis(spectra: Spectra, scale: Scale): [number, number] {
  const [low, high] = bumps(spectra.densities);
  return scale === "log" ? [low / 10, 2 * high] : [0, 1.05 * high];
}

/** Fill the sources of a spectrum panel with the spectrum of one row, over an axis of densities. */
export function fillSpectrum(
  source: Source,
  band: Source,
  spectra: Spectra,
  row: number,
  [foot, head]: [number, number],
  scale: Scale,
): void {
  const { mean, error } = spectra.density(row);
  const x = spectra.places();
  const floor = scale === "log" ? foot / 10 : 0; // what a log axis has no place for runs along under the frame
  const shown = (values: Float64Array) =>
    values.map((value) => (Number.isNaN(value) ? value : Math.max(value, floor)));
  const place = (value: number) => Math.asinh(value / spectra.scale);
  const ritz = spectra.ritz(row).values.filter(Number.isFinite).map(place);
  const beyond = Float64Array.from(spectra.summary(row).outliers, place);
  const rug = scale === "log" ? foot * (head / foot) ** RUG : foot + RUG * (head - foot);
  const low = shown(mean.map((value, i) => value - error[i]!));
  const high = shown(mean.map((value, i) => value + error[i]!));
  const columns = {
    x,
    density: shown(mean),
    low,
    high,
    ritz,
    foot: ritz.map(() => foot),
    head: ritz.map(() => rug),
    outlier: beyond,
    peak: beyond.map((at) => between(at, spectra, mean)),
  };
  const longest = Math.max(...Object.values(columns).map((values) => values.length));
  source.data = Object.fromEntries(
    Object.entries(columns).map(([key, values]) => {
      const padded = new Float64Array(longest).fill(Number.NaN);
      padded.set(values);
      return [key, padded];
    }),
  );
  band.data = outline(x, low, high);
}

/** The density at a place of the axis, linear between the two that were computed. */
export function between(at: number, spectra: Spectra, densities: Float64Array): number {
  const place = ((at - spectra.low) / (spectra.high - spectra.low)) * (BINS - 1);
  const low = Math.min(BINS - 2, Math.max(0, Math.floor(place)));
  return densities[low]! + (place - low) * (densities[low + 1]! - densities[low]!);
}

/** The densities as a field whose first row is the largest eigenvalue; what is too low to show is as low as shown. */
export function densityField(spectra: Spectra): {
  width: number;
  rows: number;
  at: (step: number) => number;
  row: (i: number) => Float64Array;
  limits: [number, number];
} {
  const [low, high] = bumps(spectra.densities);
  const limits: [number, number] = [low / 2, high];
  return {
    width: BINS,
    rows: spectra.values.rows,
    at: (step) => spectra.values.at(step),
    row: (i) =>
      spectra.densities[i]!.map((value) =>
        Number.isNaN(value) ? value : Math.max(value, limits[0]),
      ).reverse(),
    limits,
  };
}

/** The part of the asinh axis that the heights of an evolution's image stand for. */
export const placeOf = (height: number, spectra: Spectra): number =>
  spectra.low + ((height - 0.5) / (BINS - 1)) * (spectra.high - spectra.low);

/** Where in an evolution's image a place of the asinh axis lies. */
export const heightOf = (place: number, spectra: Spectra): number =>
  ((place - spectra.low) / (spectra.high - spectra.low)) * (BINS - 1) + 0.5;

/** Write eigenvalues along the part of an axis that is in view. */
export function labelEigenvalues(
  axis: BokehModel,
  ticker: BokehModel,
  range: Range,
  scale: number,
  toPlace: (at: number) => number = (at) => at,
  toAxis: (place: number) => number = (place) => place,
): void {
  const written = new Map(
    [...ticks(toPlace(range.start), toPlace(range.end), scale)].map(([place, text]) => [toAxis(place), text]),
  );
  axis.setv({ major_label_overrides: written });
  ticker.setv({ ticks: [...written.keys()] });
}
