/** One entry of the command palette: what it says, and the line that it writes. */
export interface Verb {
  name: string;
  label: string;
  /** Its line; the part in brackets is what the reader puts in, and comes selected. */
  line: string;
  /** The command that the loop is sent where one is running. */
  command?: { what: string; steps?: number };
}

export const VERBS: Verb[] = [
  { name: "watch", label: "watch a model and its optimizer", line: "%landscape watch [model optimizer]" },
  { name: "show", label: "show the Board", line: "%landscape show" },
  { name: "measure", label: "measure an instrument now", line: "%landscape measure [sharpness]" },
  { name: "fork", label: "fork the run", line: "%landscape fork [lr=0.01]" },
  { name: "task", label: "go on with a task", line: "%landscape task [NAME]" },
  { name: "list", label: "list the instruments", line: "%landscape list" },
  { name: "save", label: "save the run", line: "%landscape save [run.zarr]" },
  { name: "open", label: "open a stored run", line: "%landscape open [run.zarr]" },
  { name: "export", label: "export a page", line: "%landscape export [run.html]" },
  { name: "diagnose", label: "diagnose the run", line: "%landscape diagnose" },
  { name: "pause", label: "pause the training", line: "%landscape pause", command: { what: "pause" } },
  { name: "resume", label: "resume the training", line: "%landscape resume", command: { what: "resume" } },
  {
    name: "advance",
    label: "advance a paused training by a step",
    line: "%landscape advance [1]",
    command: { what: "advance", steps: 1 },
  },
  { name: "lr", label: "set the learning rate", line: "%landscape lr [0.01]" },
  { name: "every", label: "measure more or less often", line: "%landscape every [sharpness 10]" },
  {
    name: "stop",
    label: "stop the training or the watching",
    line: "%landscape stop",
    command: { what: "stop" },
  },
];

/** The text of a line, and where in it the reader's part begins and ends. */
export function written(line: string): { text: string; from: number; to: number } {
  const from = line.indexOf("[");
  const text = line.replace(/[[\]]/g, "");
  return from < 0 ? { text, from: text.length, to: text.length } : { text, from, to: line.indexOf("]") - 1 };
}
