import { BEGUN } from "./begun";
import { Board } from "./board";
import { drawModel } from "./drawing";
import { Live, type Model } from "./live";
import { mountPage } from "./page";

// Hosts differ in how often they evaluate a module; what is shared lives here, by the widget's own id.
type Shared = { lives: Map<string, Live>; mountPage: typeof mountPage; Board: typeof Board };
const page = globalThis as unknown as { nbtoolkit?: Shared };
page.nbtoolkit ??= { lives: new Map(), mountPage, Board };
const shared = page.nbtoolkit;

function initialize({ model }: { model: Model }): () => void {
  if (model.get("drawing")) return () => {};
  const uid = model.get("uid") as string;
  shared.lives.get(uid)?.dispose();
  const live = new Live(model);
  shared.lives.set(uid, live);
  dispatchEvent(new CustomEvent(BEGUN, { detail: uid }));
  return () => {
    if (shared.lives.get(uid) === live) shared.lives.delete(uid);
    live.end();
  };
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  if (model.get("drawing")) return drawModel(model, el);
  const uid = model.get("uid") as string;
  const live = shared.lives.get(uid)!;
  const board = new Board(live.session, live.bokeh);
  // The still picture beside the Board is for readers that run no scripts.
  const style = document.createElement("style");
  style.textContent = `.nbtk-static[data-nbtk="${CSS.escape(uid)}"] { display: none; }`;
  document.head.append(style);
  el.append(board.root);
  return () => {
    style.remove();
    board.dispose();
  };
}

export { mountPage };
export default { initialize, render };
