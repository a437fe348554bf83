import type { Picture } from "./picture";
import { Curves } from "./pictures/curves";
import { GapPicture } from "./pictures/gap";
import { Heatmap } from "./pictures/heatmap";
import { Landscape } from "./pictures/landscape";
import { Matrix } from "./pictures/matrix";
import { Profile } from "./pictures/profile";
import { Scree } from "./pictures/scree";
import { Evolution, Spectrum } from "./pictures/spectra";
import { SurfacePicture } from "./pictures/surface";
import { Table } from "./pictures/table";
import { Trajectory } from "./pictures/trajectory";
import type { Kind, PanelSpec } from "./types";

/** The kinds of panels. A new one is a file in `pictures` and a line here. */
const PICTURES: Record<Kind, new (spec: PanelSpec) => Picture> = {
  curves: Curves,
  heatmap: Heatmap,
  table: Table,
  spectrum: Spectrum,
  evolution: Evolution,
  landscape: Landscape,
  surface: SurfacePicture,
  profile: Profile,
  matrix: Matrix,
  trajectory: Trajectory,
  gap: GapPicture,
  scree: Scree,
};

export const pictureOf = (spec: PanelSpec): Picture => new PICTURES[spec.kind](spec);
