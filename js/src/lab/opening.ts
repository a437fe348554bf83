import { BEGUN } from "../begun";
import type { App, Modules, NotebookPanel, Tracker } from "./jupyter";
import { type LiveRun, liveOf, onPage, type StoredRun } from "./runs";
import { Tab } from "./tab";

const PATIENCE = 10_000; // ms for a notebook to bring its Board
const LOOK = 200;

/** Opens runs: a Board in a tab of its own, or a new notebook that shows a stored one. */
export class Opening {
  private readonly tabs = new Map<string, Tab>();

  constructor(
    private readonly app: App,
    private readonly modules: Modules,
    private readonly tracker: Tracker | null,
    /** Whether there is a main area to put tabs beside each other. */
    private readonly beside: boolean,
    private readonly icon: unknown,
  ) {
    addEventListener(BEGUN, (event) => this.follow((event as CustomEvent<string>).detail));
  }

  /** Its Board beside the notebook; a notebook that is not on this page is opened first. */
  async live(run: LiveRun): Promise<void> {
    let found = reachable(run);
    if (!found && run.notebook) {
      await this.app.commands.execute("docmanager:open", { path: run.notebook });
      for (let waited = 0; !found && waited < PATIENCE; waited += LOOK) {
        await new Promise((resolve) => setTimeout(resolve, LOOK));
        found = liveOf(run);
      }
    }
    if (!found) throw new Error(`${run.name} has no Board on this page: in its notebook run %landscape show`);
    const [uid] = found;
    if (!this.tabs.has(uid)) this.add(uid, run);
    this.follow(uid);
    this.app.shell.activateById(uid);
  }

  /** A new notebook beside it, with the cell that shows it, run. */
  async stored(run: StoredRun): Promise<void> {
    const { contents, kernelspecs } = this.app.serviceManager;
    const slash = run.path.lastIndexOf("/");
    const [folder, name] = [run.path.slice(0, Math.max(0, slash)), run.path.slice(slash + 1)];
    await kernelspecs.ready;
    const kernel = kernelspecs.specs?.default ?? "python3";
    const made = await contents.newUntitled({ path: folder, type: "notebook" });
    const spec = {
      name: kernel,
      display_name: kernelspecs.specs?.kernelspecs[kernel]?.display_name ?? kernel,
    };
    const content = notebookOf(`import nbtoolkit\n\n${call(name)}`, spec);
    await contents.save(made.path, { type: "notebook", format: "json", content });
    const panel = (await this.app.commands.execute("docmanager:open", { path: made.path })) as
      | NotebookPanel
      | undefined;
    if (!panel?.sessionContext) return; // Notebook 7 opens another page
    await panel.context.ready;
    await panel.sessionContext.ready;
    await this.app.commands.execute("notebook:run-cell");
  }

  private add(uid: string, run: LiveRun): void {
    const tab = new Tab(this.modules, uid, run.name, run.notebook, this.icon);
    const { widget } = tab;
    widget.disposed.connect(() => this.tabs.delete(uid));
    this.tabs.set(uid, tab);
    if (!this.beside) {
      this.app.shell.add(widget, "right");
      return;
    }
    const panel = this.panelOf(run.notebook);
    this.app.shell.add(widget, "main", { mode: "split-right", ...(panel ? { ref: panel.id } : {}) });
  }

  /** Let the tab of a Board show what is on the page now: a notebook that was opened again brings another. */
  private follow(uid: string): void {
    const tab = this.tabs.get(uid);
    const live = onPage()?.lives.get(uid);
    if (!tab || !live || !tab.follow(live)) return;
    this.panelOf(tab.notebook)?.disposed.connect(() => tab.leave(live));
  }

  private panelOf(notebook: string): NotebookPanel | undefined {
    return this.tracker?.find((one) => one.context.path === notebook);
  }
}

/** The Board of a run on this page, if its kernel can be reached: a notebook that was closed leaves one that is not. */
function reachable(run: LiveRun): ReturnType<typeof liveOf> {
  const found = liveOf(run);
  const session = found?.[1].session;
  try {
    session?.send?.({ op: "hello" });
    return found;
  } catch {
    session!.gone ||= true;
    return null;
  }
}

/** JSON's texts are Python's. */
const call = (name: string): string => `nbtoolkit.show(nbtoolkit.open_run(${JSON.stringify(name)}))`;

function notebookOf(source: string, kernelspec: { name: string; display_name: string }): object {
  const cell = { id: "show", cell_type: "code", source, metadata: {}, outputs: [], execution_count: null };
  return { cells: [cell], metadata: { kernelspec }, nbformat: 4, nbformat_minor: 5 };
}
