import type { App, Arguments, Given, Launcher, Modules, Palette, Tracker } from "./jupyter";
import { Opening } from "./opening";
import { addVerbs, CATEGORY } from "./palette";
import { RunsPanel } from "./panel";
import { type Companion, Server } from "./runs";

/** A valley, and steps into it. The page colours what has an attribute of that kind. */
const ICON = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
<path class="jp-icon3" style="fill:none" stroke="#616161" stroke-width="2" stroke-linecap="round" d="M2 5c4 0 5 14 10 14S17 8 22 8"/>
<g class="jp-icon3" fill="#616161"><circle cx="8" cy="3.5" r="1.4"/><circle cx="10.5" cy="8" r="1.6"/>
<circle cx="12.2" cy="13.5" r="2.2"/></g></svg>`;

/** The extension: the list of runs at the side, cards for the companions, and the verbs in the palette. */
export function plugin(modules: Modules): object {
  const given = (Object.keys(modules.tokens) as Given[]).filter((name) => modules.tokens[name]);
  return {
    id: "nbtoolkit-landscape:plugin",
    description: "The training runs of this server, beside the notebooks.",
    autoStart: true,
    optional: given.map((name) => modules.tokens[name]),
    activate(app: App, ...services: unknown[]): void {
      const at = Object.fromEntries(given.map((name, i) => [name, services[i]])) as Partial<
        Record<Given, unknown>
      >;
      activate(app, modules, at);
    },
  };
}

function activate(app: App, modules: Modules, given: Partial<Record<Given, unknown>>): void {
  const tracker = (given.tracker ?? null) as Tracker | null;
  const palette = (given.palette ?? null) as Palette | null;
  const server = new Server(app, modules);
  const icon = modules.icons && new modules.icons.LabIcon({ name: "nbtoolkit:landscape", svgstr: ICON });
  const opening = new Opening(app, modules, tracker, Boolean(given.labShell), icon);
  const panel = new RunsPanel(() => server.runs(), opening);
  const side = new modules.widgets.Widget({ node: panel.root });
  side.id = "nbtoolkit-runs";
  Object.assign(side.title, { caption: "Training runs", icon }, icon ? {} : { label: "Runs" });
  side.onActivateRequest = () => panel.root.focus();
  side.disposed.connect(() => panel.dispose());
  app.shell.add(side, "left", { rank: 600, type: "Training runs" });
  app.commands.addCommand("nbtoolkit:runs", {
    label: "Landscape: list the runs of this server",
    execute: () => app.shell.activateById(side.id),
  });
  palette?.addItem({ command: "nbtoolkit:runs", category: CATEGORY });
  if (tracker) addVerbs(app, palette, tracker, server);
  if (given.launcher) void addCards(app, given.launcher as Launcher, server, icon);
}

/** A card in the launcher for each companion. */
async function addCards(app: App, launcher: Launcher, server: Server, icon: unknown): Promise<void> {
  const companions = await server.companions().catch((): Companion[] => []);
  app.commands.addCommand("nbtoolkit:companion", {
    label: (args: Arguments) => String(args.title ?? "companion"),
    caption: (args: Arguments) => `A copy of ${args.name} in this folder`,
    icon,
    execute: async (args: Arguments) => {
      const path = await server.copy(String(args.name), String(args.cwd ?? ""));
      return app.commands.execute("docmanager:open", { path });
    },
  });
  companions.forEach(({ name, title }, rank) => {
    launcher.add({ command: "nbtoolkit:companion", category: CATEGORY, rank, args: { name, title } });
  });
}
