import { Board } from "./board";
import { type Bokeh, slot } from "./bokeh";
import { draw } from "./drawing";
import { fromBase64 } from "./messages";
import { Session } from "./session";
import type { Description } from "./types";

/** What an exported page carries for one run, or for one figure; see nbtoolkit/widget/export.py. */
export interface Payload {
  version: string;
  panels: Description;
  snapshot: string;
  drawing?: string;
}

/** Show a run or a figure from what the page itself carries: no kernel, no network. */
export function mountPage(element: HTMLElement, payload: Payload): Board | null {
  const loaded = bokehOnPage(payload.version);
  if (payload.drawing) {
    draw(payload.drawing, element, loaded);
    return null;
  }
  const session = new Session();
  session.describe(JSON.stringify(payload.panels));
  session.takeSnapshot(fromBase64(payload.snapshot));
  const board = new Board(session, loaded);
  element.append(board.root);
  return board;
}

function bokehOnPage(version: string): Promise<Bokeh> {
  const loaded = (globalThis as unknown as Record<string, Promise<Bokeh>>)[slot(version)];
  return loaded ?? Promise.reject(new Error(`BokehJS ${version} is not here`));
}
