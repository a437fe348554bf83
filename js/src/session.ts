import { type Message, unpack } from "./messages";
import { Store } from "./store";
import type { Description, Status } from "./types";

const NOTHING: Description = { panels: [], figures: {} };

/** What the page knows of one run, whatever shows it. */
export class Session {
  store = new Store();
  description: Description = NOTHING;
  status: Status | null = null;
  /** Whether there was a kernel and it is no more. */
  gone = false;
  private dataListeners = new Set<() => void>();
  private panelListeners = new Set<() => void>();

  describe(text: string): void {
    this.description = text ? (JSON.parse(text) as Description) : NOTHING;
    for (const listener of this.panelListeners) listener();
  }

  /** Take in a message; false when something is missing before it. */
  take(message: Message): boolean {
    const complete = this.store.apply(message);
    if (complete) {
      this.status = message.head.status;
      this.tell();
    }
    return complete;
  }

  /** Take in what a saved notebook or a page carries. */
  takeSnapshot(bytes: DataView | Uint8Array | null): void {
    const message = bytes ? unpack(bytes) : null;
    if (message) this.take(message);
  }

  /** First and last step of the run: one axis for all panels. */
  span(): [number, number] {
    const first = this.store.first() ?? 0;
    return [first, Math.max(this.status?.step ?? 0, first + 1)];
  }

  tell(): void {
    for (const listener of this.dataListeners) listener();
  }

  onData(listener: () => void): () => void {
    this.dataListeners.add(listener);
    return () => this.dataListeners.delete(listener);
  }

  onPanels(listener: () => void): () => void {
    this.panelListeners.add(listener);
    return () => this.panelListeners.delete(listener);
  }
}
