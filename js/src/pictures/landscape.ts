import { number } from "../format";
import { equal, fillImage } from "../image";
import { isolines, levels } from "../isolines";
import type { Figure, Picture, Under } from "../picture";
import { centreOf, complete, type Ends, frame, infinite, Shown } from "../plane";
import { type Drawn, Planes } from "../planes";
import type { Reading } from "../reading";
import { sliceName } from "../slices";
import type { Store } from "../store";
import type { Line, PanelSpec, Scale } from "../types";
import { labelBar } from "./bar";

/** A field over a plane of parameters, from above: cells around the points evaluated, isolines, the path. */
export class Landscape implements Picture {
  readonly alongSteps = false;
  readonly tall = true;
  readonly help = "Shift and arrow keys: the points of the plane";
  private readonly planes: Planes;
  private drawn: Drawn | null = null;

  constructor(spec: PanelSpec) {
    this.planes = new Planes(spec);
  }

  label(figure: Figure): void {
    this.planes.label(figure);
  }

  draw(figure: Figure): string {
    const { store, scale } = figure;
    this.drawn = this.planes.at(store, figure.step);
    const limits = this.planes.limits(store, scale);
    const [low, high] = limits;
    if (figure.free) figure.model("colours").setv({ low, high });
    const [x, y] = this.ends();
    if (figure.free) {
      const [across, up] = equal(x, y, figure.frame);
      figure.span("x_range", across);
      figure.span("y_range", up);
    }
    this.fill(figure, x, y, limits);
    return this.planes.hint(store, scale, this.drawn);
  }

  isOther(store: Store, step: number | null): boolean {
    return sliceName(this.planes.slice(store, step)) !== sliceName(this.drawn?.slice ?? null);
  }

  under(a: number, b: number): Under {
    return { step: null, row: this.drawn && this.planes.place(this.drawn, a, b, this.ends()) };
  }

  read(_: Line[], store: Store, step: number | null, row: number | null): Reading[] {
    return this.planes.read(store, step, row);
  }

  suits(store: Store): Scale {
    return this.planes.suits(store);
  }

  walk(
    key: string,
    shift: boolean,
    row: number | null,
    store: Store,
    step: number | null,
  ): number | undefined {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    if (!by || (!shift && by[0])) return undefined;
    return this.planes.neighbour(store, step, row, by[0]!, by[1]!);
  }

  private ends(): [Ends, Ends] {
    const { plane } = this.drawn ?? {};
    if (!plane) return [NOTHING, NOTHING];
    return [frame(plane.x, this.planes.axes.x), frame(plane.y, this.planes.axes.y)];
  }

  private fill(figure: Figure, x: Ends, y: Ends, limits: Ends): void {
    const { scale } = figure;
    const plane = this.drawn?.plane ?? { x: NONE, y: NONE, values: NONE };
    const { image, shape } = new Shown(plane).raster(this.planes.axes.x, this.planes.axes.y);
    const seen = image.map((value) =>
      Number.isFinite(value) && (scale === "linear" || value > 0) ? value : Number.NaN,
    );
    fillImage(figure.source("data"), seen, shape, x, y);
    figure.source("infinite").data = infinite(plane, x, y);
    figure.source("isolines").data = isolines(complete(plane), limits, scale) as Record<string, number[]>;
    labelBar(figure, plane.values.length ? levels(limits, scale) : []);
    const path = this.drawn?.path ?? [];
    const columns = (points: Ends[]) => ({ x: points.map(([a]) => a), y: points.map(([, b]) => b) });
    figure.source("path").data = columns(path);
    figure.source("newest").data = columns(path.slice(-1));
    const centre = centreOf(plane);
    const text = centre === null || Number.isNaN(centre) ? [] : [number(centre, 4)];
    figure.source("centre").data = { x: text.map(() => 0), y: text.map(() => 0), text };
  }
}

const NONE = new Float64Array(0);
const NOTHING: Ends = [0, 1];
