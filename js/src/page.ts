import { Board } from "./board";
import { type Bokeh, slot } from "./bokeh";
import { draw } from "./drawing";
import { inflate, messageOf, parse } from "./packed";
import { Session } from "./session";
import { exported } from "./status";

/** Show a run or a figure from what the page itself carries: no kernel, no network. */
export async function mountPage(element: HTMLElement, payload: string): Promise<Board | null> {
  try {
    const packed = parse(await inflate(payload));
    const loaded = bokehOnPage(packed.head.version);
    if (packed.head.drawing !== undefined) {
      draw(packed.head.drawing, element, loaded);
      return null;
    }
    const session = new Session();
    session.describe(JSON.stringify(packed.head.panels));
    session.layout = packed.head.layout ?? "";
    session.take(messageOf(packed));
    session.status = exported(session.status);
    const board = new Board(session, loaded);
    element.append(board.root);
    readyForPaper(board, loaded);
    return board;
  } catch (error) {
    element.append(error instanceof Error ? error.message : String(error));
    return null;
  }
}

type Shared = Record<string, Promise<Bokeh> | undefined>;

/** BokehJS of the page: unpacked and evaluated once, apart from any other Bokeh there. */
function bokehOnPage(version: string): Promise<Bokeh> {
  const shared = globalThis as unknown as Shared;
  shared[slot(version)] ??= evaluate(version);
  return shared[slot(version)]!;
}

async function evaluate(version: string): Promise<Bokeh> {
  const carried = [...document.querySelectorAll<HTMLElement>("script.nbtk-bokeh")];
  const own = carried.find((script) => script.dataset.version === version);
  if (!own) throw new Error(`BokehJS ${version} is not on this page`);
  const source = new TextDecoder().decode(await inflate(own.textContent));
  const holder = globalThis as unknown as { nbtoolkitRoot?: { Bokeh: Bokeh } };
  holder.nbtoolkitRoot = {} as { Bokeh: Bokeh };
  // An inline script, for the page itself is made of them: what allows the one allows the other.
  const script = document.createElement("script");
  script.textContent = `(function () {${source}\n}).call(globalThis.nbtoolkitRoot);`;
  document.head.append(script);
  script.remove();
  const bokeh = holder.nbtoolkitRoot.Bokeh;
  delete holder.nbtoolkitRoot;
  return bokeh;
}

/** Paper has no sight: panels below the window are drawn too, now and before printing. */
function readyForPaper(board: Board, loaded: Promise<Bokeh>): void {
  const all = () => board.drawEverything();
  addEventListener("beforeprint", all);
  void loaded.then(() => setTimeout(all, 500)).catch(() => {});
}
