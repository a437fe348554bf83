/**
 * What JupyterLab loads: a container of module federation, written by hand. The page's own modules are
 * taken from the scope that it hands over, so nothing of JupyterLab is in this bundle.
 */
import type { Given, Modules } from "./jupyter";
import { plugin } from "./plugin";
import { type Scope, take } from "./scope";

const NAME = "nbtoolkit-landscape";
const TOKENS: Record<Given, [module: string, token: string]> = {
  palette: ["@jupyterlab/apputils", "ICommandPalette"],
  launcher: ["@jupyterlab/launcher", "ILauncher"],
  tracker: ["@jupyterlab/notebook", "INotebookTracker"],
  labShell: ["@jupyterlab/application", "ILabShell"],
};

let scope: Scope = {};

const container = {
  init(shared: Scope): void {
    scope = shared;
  },
  async get(module: string): Promise<() => unknown> {
    if (module !== "./extension") throw new Error(`${NAME} has no module ${module}`);
    const made = plugin(await modules());
    return () => ({ __esModule: true, default: [made] });
  },
};

async function modules(): Promise<Modules> {
  const tokens: Modules["tokens"] = {};
  for (const [given, [module, token]] of Object.entries(TOKENS) as [Given, [string, string]][])
    tokens[given] = (await take(scope, module))?.[token];
  const [widgets, services, icons] = await Promise.all(
    ["@lumino/widgets", "@jupyterlab/services", "@jupyterlab/ui-components"].map((name) => take(scope, name)),
  );
  return { widgets, services, icons: icons ?? undefined, tokens } as unknown as Modules;
}

const page = globalThis as unknown as { _JUPYTERLAB?: Record<string, unknown> };
page._JUPYTERLAB ??= {};
page._JUPYTERLAB[NAME] = container;
