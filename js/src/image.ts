import type { Source } from "./bokeh";
import type { Ends } from "./plane";

/** Put an image, its first row at the bottom, into a source whose figure brought an empty one. */
export function fillImage(
  source: Source,
  image: Float64Array,
  shape: [rows: number, columns: number],
  x: Ends,
  y: Ends,
): void {
  // BokehJS has its own array type for images.
  const empty = source.data.image?.[0] as { constructor: unknown };
  const NDArray = empty.constructor as new (values: Float64Array, shape: number[]) => unknown;
  source.data = {
    image: [new NDArray(image, shape)],
    x: [x[0]],
    y: [y[0]],
    dw: [x[1] - x[0]],
    dh: [y[1] - y[0]],
  };
}

/** Axes made longer on the side that has room, so that a unit is as long to the right as upwards. */
export function equal(x: Ends, y: Ends, frame: { width: number; height: number }): [Ends, Ends] {
  const unit = Math.max((x[1] - x[0]) / frame.width, (y[1] - y[0]) / frame.height);
  const around = ([low, high]: Ends, length: number): Ends => {
    const middle = (low + high) / 2;
    return [middle - length / 2, middle + length / 2];
  };
  if (!(unit > 0) || !Number.isFinite(unit)) return [x, y];
  return [around(x, unit * frame.width), around(y, unit * frame.height)];
}
