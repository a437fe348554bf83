/** The runs of a server, as nbtoolkit/lab/handlers.py tells them. */
import type { Board } from "../board";
import type { Live } from "../live";
import type { App, Modules } from "./jupyter";

export interface LiveRun {
  name: string;
  state: string;
  step: number | null;
  /** Ids of its Boards, the newest last. */
  boards: string[];
  kernel: string;
  /** Path of the notebook; "" where there is none. */
  notebook: string;
}

export interface StoredRun {
  path: string;
  name: string;
  state: string;
  step: number | null;
  modified: number;
}

export interface Listing {
  live: LiveRun[];
  stored: StoredRun[];
  /** Whether all folders were looked into. */
  complete: boolean;
}

export interface Companion {
  name: string;
  title: string;
}

const MISSING =
  "This server does not know nbtoolkit: run `jupyter server extension enable nbtoolkit.lab`, and restart it.";

/** Asks the server. */
export class Server {
  constructor(
    private readonly app: App,
    private readonly modules: Modules,
  ) {}

  runs(): Promise<Listing> {
    return this.ask("runs") as Promise<Listing>;
  }

  companions(): Promise<Companion[]> {
    return this.ask("companions") as Promise<Companion[]>;
  }

  /** Copy a companion into a folder; the path of the copy. */
  async copy(name: string, folder: string): Promise<string> {
    const made = await this.ask("companions", { name, folder });
    return (made as { path: string }).path;
  }

  private async ask(what: string, body?: object): Promise<unknown> {
    const settings = this.app.serviceManager.serverSettings;
    const init = body ? { method: "POST", body: JSON.stringify(body) } : {};
    const { makeRequest } = this.modules.services.ServerConnection;
    const answer = await makeRequest(`${settings.baseUrl}nbtoolkit/${what}`, init, settings);
    if (answer.ok) return answer.json();
    const told = (await answer.json().catch(() => null)) as { message?: string } | null;
    throw new Error(answer.status === 404 && !body ? MISSING : (told?.message ?? answer.statusText));
  }
}

type Page = { nbtoolkit?: { lives: Map<string, Live>; Board: typeof Board } };

/** What the Boards on this page share; undefined before the first of them. */
export const onPage = () => (globalThis as unknown as Page).nbtoolkit;

/** The newest Board of a run that is on this page and hears of it. */
export function liveOf(run: LiveRun): [uid: string, live: Live] | null {
  for (const uid of [...run.boards].reverse()) {
    const live = onPage()?.lives.get(uid);
    if (live && !live.session.gone) return [uid, live];
  }
  return null;
}

/** Whether there is a loop that goes on or waits. */
export const isRunning = (run: { state: string }): boolean =>
  ["watching", "following", "paused"].includes(run.state);
