import type { Source } from "../bokeh";
import { fillField, span } from "../field";
import { emptied, type Figure, NOTHING, type Picture, type Under } from "../picture";
import type { Reading } from "../reading";
import { type Spectra, spectraOf } from "../spectra";
import { densityAxis, densityField, fillSpectrum, heightOf, labelEigenvalues, placeOf } from "../spectrum";
import type { Store } from "../store";
import { summarise } from "../summary";
import type { Line, PanelSpec } from "../types";

abstract class OfSpectra {
  protected spectra: Spectra | null = null;

  constructor(protected readonly spec: PanelSpec) {}

  read(_: Line[], store: Store, step: number | null, row: number | null): Reading[] {
    return summarise(this.spec, store, step, row).map((text) => ({ text, color: null }));
  }

  protected find(store: Store): Spectra | null {
    const [values, weights] = this.spec.lines.map((line) => store.get(line.key));
    this.spectra = spectraOf(values, weights, this.spec.sizes ?? []);
    return this.spectra;
  }
}

/** The spectrum in force at the step pointed at, else the last; the axes are the same for all steps. */
export class Spectrum extends OfSpectra implements Picture {
  readonly alongSteps = false;
  private row = -1;

  label(figure: Figure): void {
    figure.model("x_axis").setv({ axis_label: this.spec.units });
  }

  draw(figure: Figure): string {
    const spectra = this.find(figure.store);
    this.row = spectra?.row(figure.step) ?? -1;
    const hint = this.row < 0 ? NOTHING : "";
    if (!spectra) return hint;
    if (figure.free) {
      figure.span("x_range", [spectra.low, spectra.high]);
      figure.span("y_range", densityAxis(spectra, figure.scale));
    }
    const x = figure.range("x_range");
    labelEigenvalues(figure.model("x_axis"), figure.model("eigenvalues"), x, spectra.scale);
    const { start, end } = figure.range("y_range");
    const [source, band] = [figure.source("data"), figure.model("band0") as Source];
    if (this.row >= 0) fillSpectrum(source, band, spectra, this.row, [start, end], figure.scale);
    else for (const one of [source, band]) one.data = emptied(one.data);
    return hint;
  }

  isOther(_: Store, step: number | null): boolean {
    return this.spectra !== null && this.spectra.row(step) !== this.row;
  }

  under(x: number): Under {
    return { step: null, row: x };
  }
}

/** The densities of all steps as colours. */
export class Evolution extends OfSpectra implements Picture {
  readonly alongSteps = true;

  label(figure: Figure): void {
    figure.model("y_axis").setv({ axis_label: this.spec.units });
  }

  draw(figure: Figure): string {
    const spectra = this.find(figure.store);
    const hint = spectra && spectra.row(null) >= 0 ? "" : NOTHING;
    if (!spectra) return hint;
    const field = densityField(spectra);
    if (figure.freeSteps) figure.span("x_range", figure.window ?? figure.all);
    if (figure.free) {
      figure.span("y_range", [0, field.width]);
      figure.model("colours").setv({ low: field.limits[0], high: field.limits[1] });
    }
    const [place, height] = [(at: number) => placeOf(at, spectra), (at: number) => heightOf(at, spectra)];
    const y = figure.range("y_range");
    labelEigenvalues(figure.model("y_axis"), figure.model("eigenvalues"), y, spectra.scale, place, height);
    const { start, end } = figure.range("x_range");
    const [first, last] = span(spectra.values.x());
    fillField(figure.source("data"), field, Math.max(start, first), Math.min(end, last));
    return hint;
  }

  under(x: number, y: number): Under {
    return { step: x, row: this.spectra && placeOf(y, this.spectra) };
  }
}
