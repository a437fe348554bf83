import { element } from "../dom";
import { whole } from "../format";
import { isRunning, type Listing, type LiveRun, type StoredRun } from "./runs";

const EVERY = 3000; // ms
const LIVE_WORDS: Record<string, string> = { watching: "training" };
const STORED_WORDS: Record<string, string> = { watching: "cut off", paused: "cut off" };
const NONE = "None. Put %%landscape on top of a training cell and run it.";

export const STYLE = `
.nbtk-runs { overflow: auto; padding: 8px; color: var(--jp-ui-font-color1); font-size: var(--jp-ui-font-size1, 13px); }
.nbtk-runs h2 { margin: 12px 4px 4px; font-size: inherit; font-weight: 600; }
.nbtk-runs p { margin: 4px; color: var(--jp-ui-font-color2); }
.nbtk-runs p:empty { display: none; }
.nbtk-runs ul { list-style: none; margin: 0; padding: 0; }
.nbtk-runs button { display: block; width: 100%; padding: 4px; border: 0; background: none; color: inherit;
  font: inherit; text-align: left; cursor: pointer; overflow-wrap: anywhere; }
.nbtk-runs button:hover { background: var(--jp-layout-color2); }
.nbtk-runs button:focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: -2px; }
.nbtk-runs small { display: block; color: var(--jp-ui-font-color2); font-size: var(--jp-ui-font-size0, 11px); }
.nbtk-runs .nbtk-running b::before { content: "● "; color: var(--jp-success-color1, #009e73); }
.nbtk-runs:focus, .nbtk-tab:focus { outline: none; }
.nbtk-tab { overflow: auto; padding: 8px; background: var(--jp-layout-color0); }
`;

/** What a run in the list does when it is chosen; a promise that fails is told in the panel. */
export interface Choices {
  live(run: LiveRun): Promise<void>;
  stored(run: StoredRun): Promise<void>;
}

interface Row {
  key: string;
  name: string;
  facts: string;
  running: boolean;
  choose: () => Promise<void>;
}

/** The list of the runs of this server: those of its kernels, and those in its folders. */
export class RunsPanel {
  readonly root = element("div", { class: "nbtk-runs", role: "region", "aria-label": "training runs" });
  private readonly words = element("p", { role: "status" });
  private readonly live = element("ul", { "aria-label": "runs of the kernels" });
  private readonly noLive = element("p", {}, NONE);
  private readonly stored = element("ul", { "aria-label": "stored runs" });
  private readonly noStored = element("p");
  private readonly sight: IntersectionObserver;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private seen = false;
  private failed = false;

  constructor(
    private readonly ask: () => Promise<Listing>,
    private readonly choices: Choices,
  ) {
    const titles = ["In kernels", "Stored"].map((title) => element("h2", {}, title));
    this.root.tabIndex = -1;
    this.root.append(element("style", {}, STYLE), this.words);
    this.root.append(titles[0]!, this.noLive, this.live, titles[1]!, this.noStored, this.stored);
    this.sight = new IntersectionObserver((entries) => {
      this.seen = entries.at(-1)!.isIntersecting;
      if (this.seen) void this.refresh();
    });
    this.sight.observe(this.root);
  }

  dispose(): void {
    this.sight.disconnect();
    clearTimeout(this.timer);
    this.seen = false;
  }

  /** Ask the server, and again every few seconds while the list is in sight. */
  async refresh(): Promise<void> {
    clearTimeout(this.timer);
    if (!document.hidden) await this.update();
    clearTimeout(this.timer);
    if (this.seen) this.timer = setTimeout(() => void this.refresh(), EVERY);
  }

  show({ live, stored, complete }: Listing): void {
    this.noLive.hidden = live.length > 0;
    fill(
      this.live,
      [...live].sort((one, other) => +isRunning(other) - +isRunning(one)).map((run) => this.liveRow(run)),
      (row) => this.act(row),
    );
    this.noStored.textContent = complete
      ? stored.length
        ? ""
        : "None in the folders of this server."
      : "There are many folders; only the nearest were looked into.";
    fill(
      this.stored,
      stored.map((run) => this.storedRow(run)),
      (row) => this.act(row),
    );
  }

  private async update(): Promise<void> {
    try {
      this.show(await this.ask());
      if (this.failed) this.words.textContent = "";
      this.failed = false;
    } catch (error) {
      this.failed = true;
      this.words.textContent = messageOf(error);
    }
  }

  private async act(row: Row): Promise<void> {
    this.words.textContent = `opening ${row.name} …`;
    try {
      await row.choose();
      this.words.textContent = "";
    } catch (error) {
      this.words.textContent = messageOf(error);
    }
  }

  private liveRow(run: LiveRun): Row {
    const facts = [LIVE_WORDS[run.state] ?? run.state, stepOf(run.step), run.notebook];
    return {
      key: `${run.kernel} ${run.boards[0]}`,
      name: run.name || "run",
      facts: facts.filter(Boolean).join(" · "),
      running: isRunning(run),
      choose: () => this.choices.live(run),
    };
  }

  private storedRow(run: StoredRun): Row {
    const when = new Date(1000 * run.modified).toLocaleString();
    const facts = [STORED_WORDS[run.state] ?? run.state, stepOf(run.step), run.path, when];
    return {
      key: run.path,
      name: run.name || run.path,
      facts: facts.filter(Boolean).join(" · "),
      running: false,
      choose: () => this.choices.stored(run),
    };
  }
}

const stepOf = (step: number | null): string => (step === null ? "" : `step ${whole(step)}`);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Bring a list up to date; a row that stays is left alone, so that the focus stays too. */
function fill(list: HTMLElement, rows: Row[], act: (row: Row) => void): void {
  const before = new Map(
    [...list.children].map((one) => [(one as HTMLElement).dataset.key, one as HTMLElement]),
  );
  rows.forEach((row, i) => {
    const item = before.get(row.key) ?? element("li", { "data-key": row.key }, newButton());
    before.delete(row.key);
    const chosen = item.firstChild as HTMLButtonElement;
    chosen.classList.toggle("nbtk-running", row.running);
    chosen.firstChild!.textContent = row.name;
    chosen.lastChild!.textContent = row.facts;
    chosen.onclick = () => act(row);
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  for (const item of before.values()) item.remove();
}

const newButton = (): HTMLButtonElement =>
  element("button", { type: "button" }, element("b"), element("small"));
