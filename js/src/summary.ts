import { number, whole } from "./format";
import { spectraOf } from "./spectra";
import { between } from "./spectrum";
import type { Store } from "./store";
import type { PanelSpec } from "./types";

/** A spectrum in words, at the step in force; with a place on the asinh axis, the density there. */
export function summarise(
  spec: PanelSpec,
  store: Store,
  step: number | null,
  place: number | null,
): string[] {
  const [values, weights] = spec.lines.map((line) => store.get(line.key));
  const spectra = spectraOf(values, weights, spec.sizes ?? []);
  const i = spectra?.row(step) ?? -1;
  if (!spectra || i < 0) return [];
  const told = step !== null || spec.kind === "spectrum" ? [`step ${whole(spectra.values.x()[i]!)}`] : [];
  if (place !== null) {
    const [mean, error] = Object.values(spectra.density(i)).map((one) => between(place, spectra, one));
    const bound = Number.isFinite(error) ? ` ± ${number(error, 2)}` : "";
    const eigenvalue = spectra.scale * Math.sinh(place);
    return [...told, `eigenvalue ${number(eigenvalue, 3)}`, `density ${number(mean, 3)}${bound}`];
  }
  const { largest, smallest, negative, outliers } = spectra.summary(i);
  const count = outliers.length;
  return [
    ...told,
    `λmax ${number(largest, 3)}`,
    `λmin ${number(smallest, 3)}`,
    ...(count ? [`${count} outlier${count > 1 ? "s" : ""}`] : []),
    `${number(100 * negative, 2)} % < 0`,
  ];
}
