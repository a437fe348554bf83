import { type Message, unpack } from "./messages";
import { Store } from "./store";
import type { Ack, Command, Controls, Description, Finding, Head, RangeHead, Status } from "./types";

const NOTHING: Description = { panels: [], figures: {} };

/** What the page knows of one run, whatever shows it. */
export class Session {
  store = new Store();
  description: Description = NOTHING;
  status: Status | null = null;
  /** Whether there was a kernel and it is no more, or why it can not be reached, in words. */
  gone: boolean | string = false;
  /** What was done to the loop while it ran. */
  commands: Command[] = [];
  /** What the record shows that a reader should know. */
  findings: Finding[] = [];
  /** What the loop can be asked for; null where there is no loop. */
  controls: Controls | null = null;
  /** A word to the kernel; null where there is none. */
  send: ((content: object) => void) | null = null;
  /** How the reader arranged the panels, as text; see layout.ts. */
  layout = "";
  private dataListeners = new Set<() => void>();
  private panelListeners = new Set<() => void>();
  private ackListeners = new Set<(ack: Ack) => void>();

  describe(text: string): void {
    this.description = text ? (JSON.parse(text) as Description) : NOTHING;
    for (const listener of this.panelListeners) listener();
  }

  /** Take in what the loop can be asked for; text that makes no sense is none. */
  control(text: unknown): void {
    this.controls = controlsOf(text);
    this.tell();
  }

  /** Keep how the panels are arranged: on this page alone, where no widget keeps more. */
  keepLayout(text: string): void {
    this.layout = text;
  }

  /** Tell what came of a command. */
  answer(ack: Ack): void {
    for (const listener of this.ackListeners) listener(ack);
  }

  /** Take in a message; false when something is missing before it. */
  take(message: Message): boolean {
    const complete = this.store.apply(message);
    if (complete) {
      this.status = message.head.status;
      this.commands = listOf(message.head, "commands") ?? this.commands;
      this.findings = listOf(message.head, "findings") ?? this.findings;
      this.tell();
    }
    return complete;
  }

  /** Take in the rows of a range of steps. */
  look(head: RangeHead, buffers: Float64Array[]): void {
    this.store.look(head, buffers);
    this.tell();
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

  onAck(listener: (ack: Ack) => void): () => void {
    this.ackListeners.add(listener);
    return () => this.ackListeners.delete(listener);
  }

  onPanels(listener: () => void): () => void {
    this.panelListeners.add(listener);
    return () => this.panelListeners.delete(listener);
  }
}

/** A list of a message; null: as before. Files from before there were such lists have none. */
function listOf<Key extends "commands" | "findings">(head: Head, key: Key): NonNullable<Head[Key]> | null {
  const list = head[key];
  if (Array.isArray(list)) return list as NonNullable<Head[Key]>;
  return head.op === "reset" ? [] : null;
}

function controlsOf(text: unknown): Controls | null {
  if (typeof text !== "string" || !text) return null;
  try {
    const told = JSON.parse(text) as Partial<Controls> | null;
    if (!told) return null;
    const instruments = Array.isArray(told.instruments) ? told.instruments : [];
    const fork = typeof told.fork === "string" ? { fork: told.fork } : {};
    return { groups: Number(told.groups ?? 1), instruments, ...fork };
  } catch {
    return null;
  }
}
