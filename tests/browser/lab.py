"""A JupyterLab of its own: private folders, a free port, and nothing left running afterwards."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

STARTUP_SECONDS = 60
SHUTDOWN_SECONDS = 20


class Lab:
    """A running ``jupyter lab`` on 127.0.0.1 that serves ``folder``/work.

    Args:
        folder: an empty folder; home, settings and notebooks all live in it.
        overrides: a file of default settings, in the form of JupyterLab's ``overrides.json``.
        app: ``jupyterlab``, or ``notebook`` for Jupyter Notebook 7.
        ipykernel: a folder with another ipykernel than the one installed.
    """

    def __init__(
        self, folder: Path, overrides: Path | None = None, app: str = "jupyterlab", ipykernel: Path | None = None
    ) -> None:
        self.app = app
        self.work = folder / "work"
        self.log = folder / "lab.log"
        self.token = secrets.token_hex(16)
        self._private = {
            name: folder / name.lower()
            for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        }
        self._private |= {"MPLCONFIGDIR": folder / "matplotlib", "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces"}
        self._overrides = overrides
        self._ipykernel = ipykernel

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        for path in (self.work, *self._private.values()):
            path.mkdir(parents=True)
        if self._overrides is not None:
            labconfig = self._private["JUPYTER_CONFIG_DIR"] / "labconfig"
            labconfig.mkdir()
            shutil.copy(self._overrides, labconfig / "default_setting_overrides.json")
        if self._ipykernel is not None:
            self._use(self._ipykernel)
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

    def url(self, path: str) -> str:
        """Where the browser finds ``path``, with the token."""
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def page(self, name: str) -> str:
        """Where a notebook is opened; one in a folder has a workspace of its own, so that no other opens with it."""
        folder = name.rpartition("/")[0]
        tree = "notebooks" if self.app == "notebook" else f"lab/workspaces/{folder}/tree" if folder else "lab/tree"
        return self.url(f"{tree}/{name}")

    def api(self, path: str, method: str = "GET") -> Any:
        """The answer of the server's own interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def stop(self) -> None:
        """End the server by its own process, then whatever of its children outlived it."""
        family = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.terminate()
        try:
            self._process.wait(SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in family:
            if child.is_running():
                child.kill()
        psutil.wait_procs(family, timeout=SHUTDOWN_SECONDS)

    def _use(self, ipykernel: Path) -> None:
        # An environment's own kernel would be found before that of the user's folder.
        self._private["JUPYTER_PATH"] = self._private["JUPYTER_DATA_DIR"]
        spec = self._private["JUPYTER_DATA_DIR"] / "kernels" / "python3"
        spec.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        told = {
            "argv": command,
            "display_name": "Python 3",
            "language": "python",
            "env": {"PYTHONPATH": str(ipykernel)},
        }
        (spec / "kernel.json").write_text(json.dumps(told))

    def _command(self) -> list[str]:
        exposed = "JupyterNotebookApp" if self.app == "notebook" else "LabApp"
        return [
            sys.executable, "-m", self.app, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.port}",
            "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.work}", f"--{exposed}.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "IPYTHON"))}
        # Kernel, server and browser share the cores: threads that spin while they wait would starve the others.
        return kept | {name: str(path) for name, path in self._private.items()} | {"OMP_WAIT_POLICY": "PASSIVE"}

    def _wait(self) -> None:
        for _ in range(STARTUP_SECONDS * 10):
            if self._process.poll() is not None:
                break
            try:
                self.api("status")
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start; its log ends:\n{self.log.read_text()[-3000:]}")
