"""A notebook open in JupyterLab, driven through JupyterLab's own commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page

from tests.browser.lab import Lab

# Run on the page with [name, argument]; `panel` is the open notebook.
DRIVER = """async ([what, value]) => {
  const app = window.jupyterapp;
  const panel = app.shell.currentWidget;
  const cells = panel.content.widgets;
  const run = (command, args) => app.commands.execute(command, args);
  switch (what) {
    case "run":
      panel.content.activeCellIndex = value;
      window.finished = {...window.finished, [value]: false};
      void run("notebook:run-cell").then(() => { window.finished[value] = true; });
      return null;
    case "finished": return window.finished[value];
    case "outputs": return cells[value].model.outputs.toJSON();
    case "scroll_to": await panel.content.scrollToItem(value, "start"); return null;
    case "command": await run(value); return null;
    case "connected": return panel.sessionContext.session?.kernel?.connectionStatus === "connected";
    case "restart": await panel.sessionContext.session.kernel.restart(); return null;
    case "save": await panel.context.save(); return null;
  }
  throw new Error(`no such action: ${what}`);
}"""

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}

READY = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  return !!panel?.context?.isReady && !!panel.sessionContext?.isReady && panel.content?.widgets?.length > 0;
}"""


def write(path: Path, cells: Sequence[str]) -> Path:
    """A new notebook of code cells."""
    nbformat.write(new_notebook(cells=[new_code_cell(source.strip()) for source in cells], metadata=KERNEL), path)
    return path


class Notebook:
    """One notebook in one browser page.

    Args:
        page: a blank page.
        lab: where the notebook is served.
        name: its file name.
    """

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page = page
        self.lab = lab
        self.name = name
        page.goto(lab.page(name))
        self.wait_ready()

    def wait_ready(self, *, kernel: bool = True) -> None:
        """Until the notebook is drawn and, if asked for, its kernel answers."""
        self.page.wait_for_function(READY, timeout=60_000)
        if kernel:
            self.wait_until("connected")

    def do(self, what: str, value: Any = None) -> Any:
        """One action of `DRIVER`."""
        return self.page.evaluate(DRIVER, [what, value])

    def wait_until(self, what: str, value: Any = None, equals: Any = True, seconds: float = 60) -> None:
        """Until an action of `DRIVER` answers ``equals``."""
        for _ in range(int(seconds * 10)):
            if self.do(what, value) == equals:
                return
            self.page.wait_for_timeout(100)
        raise TimeoutError(f"{what} {value} is {self.do(what, value)!r}, expected {equals!r}")

    def start(self, cell: int) -> None:
        """Run a cell and do not wait for it."""
        self.do("run", cell)

    def run(self, cell: int, seconds: float = 60) -> list[dict[str, Any]]:
        """Run a cell to its end; its outputs. An error in it fails the test."""
        self.start(cell)
        return self.finish(cell, seconds)

    def finish(self, cell: int, seconds: float = 60) -> list[dict[str, Any]]:
        """Wait for a started cell; its outputs. An error in it fails the test."""
        self.wait_until("finished", cell, seconds=seconds)
        outputs = self.do("outputs", cell)
        errors = [output for output in outputs if output["output_type"] == "error"]
        assert not errors, "\n".join(errors[0]["traceback"])
        return outputs

    def reload(self) -> None:
        """Reload the page; the kernel goes on."""
        self.page.reload()
        self.wait_ready()
