import { type Bokeh, loadBokeh } from "./bokeh";

/** The widget model that holds BokehJS for all of a kernel's widgets. */
export interface AssetModel {
  comm_live?: boolean;
  get(name: string): unknown;
  on(event: string, callback: () => void): void;
  off(event: string, callback: () => void): void;
}

interface Holder {
  get(name: string): unknown;
  widget_manager?: { get_model(id: string): Promise<AssetModel> };
}

/** The holder of BokehJS that a widget refers to. */
export const assetOf = (model: Holder): Promise<AssetModel> =>
  model.widget_manager!.get_model(model.get("asset") as string);

/** BokehJS from its holder. */
export const bokehOf = (asset: AssetModel): Promise<Bokeh> =>
  loadBokeh(asset.get("version") as string, () => asset.get("source") as string);
