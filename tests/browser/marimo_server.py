"""A marimo server of its own: private folders, a free port, and nothing left running afterwards."""

import os
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

STARTUP_SECONDS = 60
SETTINGS = """
[runtime]
auto_instantiate = true
[server]
browser = "default"
"""
HEAD = "import marimo\n\napp = marimo.App()\n"


class Marimo:
    """``marimo edit`` or ``marimo run`` on 127.0.0.1; the cells of a notebook run when its page is opened.

    Args:
        folder: an empty folder; home, settings and notebooks all live in it.
        what: what is served: a notebook in ``folder``/work, or "" for the folder.
        verb: ``edit`` or ``run``.
    """

    def __init__(self, folder: Path, what: str = "", verb: str = "edit") -> None:
        self.work = folder / "work"
        self.log = folder / f"{verb}.log"
        self._home, self._what, self._verb = folder / "home", what, verb

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        settings = self._home / "marimo"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "marimo.toml").write_text(SETTINGS)
        self.work.mkdir(exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(), cwd=self.work, env=self._environment(), stdout=log, stderr=log
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it and every kernel it started."""
        self.stop()

    def write(self, name: str, cells: Sequence[str]) -> str:
        """A notebook of these cells; where the server shows it."""
        parts = [f"\n@app.cell\ndef _():\n{textwrap.indent(cell.strip(), ' ' * 4)}\n    return\n" for cell in cells]
        (self.work / name).write_text("\n".join([HEAD, *parts]))
        return self.url(f"?file={name}")

    def url(self, path: str = "") -> str:
        """Where the browser finds ``path``."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def stop(self) -> None:
        """End the server and all of its kernels."""
        family = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        for one in (self._process, *family):
            one.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=10)

    def _command(self) -> list[str]:
        return [
            sys.executable, "-m", "marimo", self._verb, str(self.work / self._what), "--headless", "--no-token",
            "--host=127.0.0.1", f"--port={self.port}",
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR")
        private = dict.fromkeys(names, str(self._home))
        return {**os.environ, **private, "OMP_WAIT_POLICY": "PASSIVE", "MARIMO_SKIP_UPDATE_CHECK": "1"}

    def _wait(self) -> None:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(STARTUP_SECONDS * 10):
            if self._process.poll() is not None:
                break
            try:
                direct.open(self.url("health"), timeout=10).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"marimo did not start; its log ends:\n{self.log.read_text()[-3000:]}")
