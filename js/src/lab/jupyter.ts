/** The parts of JupyterLab 4 and Notebook 7 that are used here; what they do is described there. */

export interface Widget {
  id: string;
  readonly node: HTMLElement;
  readonly title: { label: string; caption: string; closable: boolean; icon?: unknown };
  /** What a widget does when it is brought to the front. */
  onActivateRequest: () => void;
  readonly disposed: { connect(slot: () => void): unknown };
}

export interface Commands {
  addCommand(
    id: string,
    options: {
      label: string | ((args: Arguments) => string);
      caption?: string | ((args: Arguments) => string);
      icon?: unknown;
      isEnabled?: () => boolean;
      execute: (args: Arguments) => unknown;
    },
  ): unknown;
  execute(id: string, args?: Arguments): Promise<unknown>;
}

export type Arguments = Record<string, unknown>;

export interface Contents {
  newUntitled(options: { path: string; type: "notebook" }): Promise<{ path: string }>;
  save(path: string, model: { type: "notebook"; format: "json"; content: object }): Promise<unknown>;
}

export interface App {
  readonly commands: Commands;
  readonly shell: {
    add(widget: Widget, area: string, options?: object): void;
    activateById(id: string): void;
  };
  readonly serviceManager: {
    readonly serverSettings: { baseUrl: string };
    readonly contents: Contents;
    readonly kernelspecs: {
      ready: Promise<void>;
      specs: { default: string; kernelspecs: Record<string, { display_name: string } | undefined> } | null;
    };
  };
}

export interface NotebookPanel extends Widget {
  readonly context: { path: string; ready: Promise<void> };
  readonly sessionContext: { ready: Promise<void> };
  readonly content: {
    readonly activeCell: {
      readonly model: { sharedModel: { getSource(): string; setSource(source: string): void } };
      readonly editor: Editor | null;
      readonly ready: Promise<void>;
    } | null;
  };
}

export interface Editor {
  focus(): void;
  setSelection(selection: { start: Position; end: Position }): void;
}

export interface Position {
  line: number;
  column: number;
}

export interface Tracker {
  readonly currentWidget: NotebookPanel | null;
  find(test: (panel: NotebookPanel) => boolean): NotebookPanel | undefined;
}

export interface Palette {
  addItem(item: { command: string; category: string }): unknown;
}

export interface Launcher {
  add(item: { command: string; category: string; rank?: number; args?: Arguments }): unknown;
}

/** What is taken from the page's own modules; a front end may lack some. */
export interface Modules {
  widgets: { Widget: new (options: { node: HTMLElement }) => Widget };
  services: {
    ServerConnection: {
      makeRequest(url: string, init: RequestInit, settings: unknown): Promise<Response>;
    };
  };
  icons?: { LabIcon: new (options: { name: string; svgstr: string }) => unknown } | undefined;
  tokens: Partial<Record<Given, unknown>>;
}

/** What the front end gives to the plugin, where it has it. */
export type Given = "palette" | "launcher" | "tracker" | "labShell";
