import { levels } from "../isolines";
import type { Figure, Picture, Under } from "../picture";
import { centreOf, complete, type Ends } from "../plane";
import { type Drawn, Planes } from "../planes";
import type { Reading } from "../reading";
import { sliceName } from "../slices";
import type { Store } from "../store";
import { box, lying, quads, View } from "../surface";
import type { Line, PanelSpec, Scale } from "../types";
import { labelBar } from "./bar";

const REACH = 1.7;
const NONE = new Float64Array(0);

/** A field over a plane of parameters as a surface that can be turned. */
export class SurfacePicture implements Picture {
  readonly alongSteps = false;
  readonly tall = true;
  readonly help = "arrow keys: turn";
  private readonly planes: Planes;
  private readonly view = new View();
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
    const { width, height } = figure.frame;
    const unit = REACH / Math.min(width, height);
    figure.span("x_range", [-unit * width, unit * width]);
    figure.span("y_range", [-unit * height, unit * height]);
    figure.model("colours").setv({ low: limits[0], high: limits[1] });
    labelBar(figure, this.drawn ? levels(limits, scale) : []);
    const plane = complete(this.drawn?.plane ?? { x: NONE, y: NONE, values: NONE });
    figure.source("data").data = quads(plane, limits, scale, this.view);
    const { lines, words } = box(plane, this.view);
    figure.source("box").data = lines;
    figure.source("ends").data = words;
    const path = lying(plane, this.drawn?.path ?? [], limits, scale, this.view);
    figure.source("path").data = path;
    figure.source("newest").data = { x: path.x.slice(-1), y: path.y.slice(-1) };
    const centre: Ends[] = centreOf(plane) === null ? [] : [[0, 0]];
    figure.source("centre").data = lying(plane, centre, limits, scale, this.view);
    return this.planes.hint(store, scale, this.drawn);
  }

  isOther(store: Store, step: number | null): boolean {
    return sliceName(this.planes.slice(store, step)) !== sliceName(this.drawn?.slice ?? null);
  }

  under(): Under {
    return { step: null, row: null };
  }

  read(_: Line[], store: Store, step: number | null): Reading[] {
    return this.planes.read(store, step, null);
  }

  suits(store: Store): Scale {
    return this.planes.suits(store);
  }

  turn(right: number, up: number): void {
    this.view.turn(right, up);
  }

  restore(): void {
    this.view.restore();
  }
}
