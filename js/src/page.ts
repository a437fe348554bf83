import { Board } from "./board";
import { type Bokeh, slot } from "./bokeh";
import { fromBase64 } from "./messages";
import { Session } from "./session";
import type { Description } from "./types";

/** What an exported page carries for one run; see nbtoolkit/widget/export.py. */
export interface Payload {
  version: string;
  panels: Description;
  snapshot: string;
}

/** Show a run from what the page itself carries: no kernel, no network. */
export function mountPage(element: HTMLElement, payload: Payload): Board {
  const session = new Session();
  session.describe(JSON.stringify(payload.panels));
  session.takeSnapshot(fromBase64(payload.snapshot));
  const loaded = (globalThis as unknown as Record<string, Promise<Bokeh>>)[slot(payload.version)];
  const board = new Board(
    session,
    loaded ?? Promise.reject(new Error(`BokehJS ${payload.version} is not here`)),
  );
  element.append(board.root);
  return board;
}
