import { PLENTY } from "./curves";
import { element } from "./dom";

const FIRST = 1 / 3; // of the slider, which gives a weight of 0.9

/** Weight of the moving average for a place of the slider: 0, then 0.9 at a third, 0.99, 0.999. */
export const weightOf = (place: number): number => 1 - 10 ** (-3 * place);

/** How strongly curves are smoothed. */
export class Smoothing {
  readonly root: HTMLElement;
  weight = weightOf(FIRST);

  constructor(onChange: () => void) {
    const range = { type: "range", min: "0", max: "1", step: "0.01", value: String(FIRST) };
    const input = element("input", { ...range, "aria-label": "smoothing" });
    const value = element("output", {}, this.weight.toFixed(3));
    input.addEventListener("input", () => {
      this.weight = weightOf(Number(input.value));
      value.textContent = this.weight.toFixed(3);
      onChange();
    });
    const title = `Weight of the exponential moving average, for curves of ${PLENTY} samples or more; the faint line is as measured`;
    this.root = element("label", { class: "nbtk-slider", title }, "smoothing ", input, value);
  }
}
