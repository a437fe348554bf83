const KEEP = "data-lm-suppress-shortcuts"; // what JupyterLab looks for

/**
 * JupyterLab hears of keys before what has the focus, and moves or cuts cells by plain ones. Those for the Board are the
 * Board's; with Ctrl, and Shift with Enter, they stay JupyterLab's. Returns what ends it.
 */
export function keepKeys(root: HTMLElement): () => void {
  const heard = (event: KeyboardEvent) => {
    const path = event.composedPath();
    if (!path.includes(root)) return;
    const theirs = event.ctrlKey || event.metaKey || (event.shiftKey && event.key === "Enter");
    (path[0] as Element).toggleAttribute(KEEP, !theirs); // it looks at what has the focus first
  };
  addEventListener("keydown", heard, { capture: true });
  return () => removeEventListener("keydown", heard, { capture: true });
}
