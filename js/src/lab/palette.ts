import type { App, NotebookPanel, Palette, Tracker } from "./jupyter";
import { isRunning, liveOf, type Server } from "./runs";
import { VERBS, type Verb, written } from "./verbs";

export const CATEGORY = "Training landscape";
const CELL = "%%landscape";
const SETTLED = 50; // ms

let sent = 0;

/** An entry of the command palette for each verb of %landscape. */
export function addVerbs(app: App, palette: Palette | null, tracker: Tracker, server: Server): void {
  const isEnabled = () => tracker.currentWidget !== null;
  const add = (name: string, label: string, execute: () => unknown) => {
    app.commands.addCommand(`nbtoolkit:${name}`, { label: `Landscape: ${label}`, isEnabled, execute });
    palette?.addItem({ command: `nbtoolkit:${name}`, category: CATEGORY });
  };
  add("cell", "watch the training in this cell", () => watchCell(tracker.currentWidget));
  for (const verb of VERBS)
    add(verb.name, verb.label, async () => {
      const panel = tracker.currentWidget;
      if (panel && !(await send(verb, panel, server))) await insert(verb, panel, app);
    });
}

/** Send it to the loop that this notebook runs; false where there is none on this page. */
async function send(verb: Verb, panel: NotebookPanel, server: Server): Promise<boolean> {
  if (!verb.command) return false;
  const runs = await server.runs().catch(() => null);
  const running = runs?.live.filter((run) => isRunning(run) && run.notebook === panel.context.path) ?? [];
  const sessions = running.map((run) => liveOf(run)?.[1].session);
  const session = sessions.filter((one) => one?.send).at(-1);
  if (!session || session.status?.deaf) return false;
  try {
    session.send!({ ...verb.command, op: "command", id: `palette-${Date.now().toString(36)}-${++sent}` });
    return true;
  } catch {
    return false;
  }
}

/** A cell with its line below the active one, the reader's part selected. */
async function insert(verb: Verb, panel: NotebookPanel, app: App): Promise<void> {
  const { text, from, to } = written(verb.line);
  await app.commands.execute("notebook:insert-cell-below");
  const cell = panel.content.activeCell;
  if (!cell) return;
  cell.model.sharedModel.setSource(text);
  await cell.ready;
  await new Promise((resolve) => setTimeout(resolve, SETTLED)); // the palette gives the focus back as it closes
  await app.commands.execute("notebook:enter-edit-mode");
  cell.editor?.setSelection({ start: { line: 0, column: from }, end: { line: 0, column: to } });
  cell.editor?.focus();
}

/** The magic on top of the active cell. */
function watchCell(panel: NotebookPanel | null): void {
  const cell = panel?.content.activeCell?.model.sharedModel;
  if (cell && !cell.getSource().startsWith(CELL)) cell.setSource(`${CELL}\n${cell.getSource()}`);
}
