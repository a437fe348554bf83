"""A marimo server of its own: private folders, a free port, and nothing left running afterwards."""

import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tests.browser.server import Server

SETTINGS = """
[runtime]
auto_instantiate = true
[server]
browser = "default"
"""
HEAD = "import marimo\n\napp = marimo.App()\n"


class Marimo(Server):
    """``marimo edit`` or ``marimo run`` on 127.0.0.1; the cells of a notebook run when its page is opened.

    Args:
        folder: an empty folder; home, settings and notebooks all live in it.
        what: what is served: a notebook in ``folder``/work, or "" for the folder.
        verb: ``edit`` or ``run``.
    """

    def __init__(self, folder: Path, what: str = "", verb: str = "edit") -> None:
        super().__init__("marimo", folder / "work", folder / f"{verb}.log")
        self._home, self._what, self._verb = folder / "home", what, verb

    def prepare(self) -> None:
        """Its settings, and the folder of the notebooks."""
        settings = self._home / "marimo"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "marimo.toml").write_text(SETTINGS)
        self.work.mkdir(exist_ok=True)

    def write(self, name: str, cells: Sequence[str]) -> str:
        """A notebook of these cells; where the server shows it."""
        parts = [f"\n@app.cell\ndef _():\n{textwrap.indent(cell.strip(), ' ' * 4)}\n    return\n" for cell in cells]
        (self.work / name).write_text("\n".join([HEAD, *parts]))
        return self.url(f"?file={name}")

    def url(self, path: str = "") -> str:
        """Where the browser finds ``path``."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def alive(self) -> None:
        """Its health."""
        self.answer("health")

    def command(self) -> list[str]:
        """Without a browser, and for everybody on this machine."""
        return [
            sys.executable, "-m", "marimo", self._verb, str(self.work / self._what), "--headless", "--no-token",
            "--host=127.0.0.1", f"--port={self.port}",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """With a home of its own."""
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR")
        private = dict.fromkeys(names, str(self._home))
        return {**os.environ, **private, "MARIMO_SKIP_UPDATE_CHECK": "1"}
