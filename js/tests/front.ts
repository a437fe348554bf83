import { vi } from "vitest";
import "../src/lab/container";
import type { NotebookPanel } from "../src/lab/jupyter";
import type { LiveRun } from "../src/lab/runs";

export const run: LiveRun = {
  name: "a",
  state: "watching",
  step: 1234,
  boards: ["u1", "u2"],
  kernel: "k",
  notebook: "n.ipynb",
};
export const stored = { path: "runs/b c/é.zarr", name: "b", state: "watching", step: 7, modified: 0 };

/** A module as a page shares it. */
export const entry = (module: object, loaded = false) => ({ get: async () => () => module, loaded });

/** A page whose elements come into sight when told, and whose time runs when told. */
export const page = { seen: (_: boolean): void => {} };

export function setUp(): void {
  class Observer {
    constructor(callback: (entries: object[]) => void) {
      page.seen = (visible) => callback([{ isIntersecting: visible }]);
    }
    observe() {}
    disconnect() {}
  }
  vi.stubGlobal("IntersectionObserver", Observer);
  vi.useFakeTimers();
}

export function tearDown(): void {
  vi.unstubAllGlobals();
  vi.useRealTimers();
  document.body.replaceChildren();
  delete (globalThis as { nbtoolkit?: unknown }).nbtoolkit;
}

/** A front end as far as the extension knows it. */
export class Front {
  commands = new Map<string, { label: unknown; execute: (args: object) => unknown }>();
  executed: [string, unknown][] = [];
  added: [{ id: string; node: HTMLElement; gone: () => void }, string, unknown][] = [];
  active = "";
  saved: [string, { content: { cells: { source: string }[] } }][] = [];
  source = "";
  selection: unknown;
  cards: { args: object }[] = [];
  items: { command: string }[] = [];
  answers: Record<string, unknown> = { runs: { live: [run], stored: [], complete: true }, companions: [] };
  panel = {
    id: "panel",
    closed: () => {},
    disposed: { connect: (slot: () => void) => (this.panel.closed = slot) },
    context: { path: "n.ipynb", ready: Promise.resolve() },
    sessionContext: { ready: Promise.resolve() },
    content: {
      activeCell: {
        model: {
          sharedModel: { getSource: () => this.source, setSource: (text: string) => (this.source = text) },
        },
        editor: { setSelection: (selection: unknown) => (this.selection = selection), focus: () => {} },
        ready: Promise.resolve(),
      },
    },
  };
  tracker = {
    currentWidget: this.panel as unknown as NotebookPanel,
    find: (test: (panel: NotebookPanel) => boolean) => [this.tracker.currentWidget].find(test),
  };
  app = {
    commands: {
      addCommand: (id: string, options: never) => this.commands.set(id, options),
      execute: async (id: string, args: unknown) => {
        this.executed.push([id, args]);
        return id === "docmanager:open" ? this.panel : null;
      },
    },
    shell: {
      add: (...all: never) => this.added.push(all),
      activateById: (id: string) => {
        this.active = id;
      },
    },
    serviceManager: {
      serverSettings: { baseUrl: "/base/" },
      contents: {
        newUntitled: async ({ path }: { path: string }) => ({ path: `${path}/Untitled.ipynb` }),
        save: async (path: string, model: never) => this.saved.push([path, model]),
      },
      kernelspecs: {
        ready: Promise.resolve(),
        specs: { default: "py", kernelspecs: { py: { display_name: "P" } } },
      },
    },
  };
  modules: Record<string, object> = {
    "@lumino/widgets": {
      Widget: class {
        id = "";
        title = {};
        node: HTMLElement;
        slots: (() => void)[] = [];
        gone = () => {
          for (const slot of this.slots) slot();
        };
        disposed = { connect: (slot: () => void) => this.slots.push(slot) };
        constructor({ node }: { node: HTMLElement }) {
          this.node = node;
        }
      },
    },
    "@jupyterlab/services": {
      ServerConnection: {
        makeRequest: async (url: string, init: RequestInit) => {
          const what = url.replace("/base/nbtoolkit/", "");
          if (!(what in this.answers))
            return { ok: false, status: 404, statusText: "", json: async () => ({}) };
          return { ok: true, json: async () => (init.body ? { path: "copy.ipynb" } : this.answers[what]) };
        },
      },
    },
    "@jupyterlab/notebook": { INotebookTracker: "tracker" },
    "@jupyterlab/apputils": { ICommandPalette: "palette" },
    "@jupyterlab/launcher": { ILauncher: "launcher" },
    "@jupyterlab/application": { ILabShell: "labShell" },
  };

  async start(): Promise<this> {
    const scope = Object.fromEntries(
      Object.entries(this.modules).map(([name, module]) => [name, { "1.0.0": entry(module) }]),
    );
    type Container = { init(scope: object): void; get(module: string): Promise<() => { default: Plugin[] }> };
    type Plugin = { id: string; optional: string[]; activate(...given: unknown[]): void };
    const page = globalThis as unknown as { _JUPYTERLAB: Record<string, Container> };
    const container = page._JUPYTERLAB["nbtoolkit-landscape"]!;
    container.init(scope);
    const [plugin] = (await container.get("./extension"))().default;
    const given: Record<string, unknown> = {
      tracker: this.tracker,
      palette: { addItem: (item: never) => this.items.push(item) },
      launcher: { add: (card: never) => this.cards.push(card) },
      labShell: {},
    };
    plugin!.activate(this.app, ...plugin!.optional.map((token) => given[token]));
    await vi.advanceTimersByTimeAsync(0);
    return this;
  }

  async do(id: string, args = {}): Promise<void> {
    const done = this.commands.get(id)!.execute(args);
    await vi.advanceTimersByTimeAsync(100);
    await done;
  }

  get side(): HTMLElement {
    return this.added[0]![0].node;
  }
}

interface FakeSession {
  status: object;
  gone: boolean | string;
  told: number;
  send(content: object): void;
  tell(): void;
}

/** The Boards of a page; what is sent to the run of each. */
export function boards(...uids: string[]) {
  const told = { sent: [] as object[], disposed: 0, shown: [] as object[], session: {} as FakeSession };
  class Board {
    root = Object.assign(document.createElement("p"), { textContent: "the Board" });
    constructor(session: object) {
      told.shown.push(session);
    }
    dispose() {
      told.disposed++;
      this.root.remove();
    }
  }
  const session: FakeSession = {
    status: { deaf: "" },
    gone: false,
    told: 0,
    send: (content) => told.sent.push(content),
    tell: () => session.told++,
  };
  told.session = session;
  const lives = new Map(uids.map((uid) => [uid, { session, bokeh: null }]));
  Object.assign(globalThis, { nbtoolkit: { lives, Board } });
  return told;
}
