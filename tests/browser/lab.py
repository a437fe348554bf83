"""A JupyterLab of its own: private folders, a free port, and nothing left running afterwards."""

import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.browser.server import Server


class Lab(Server):
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
        super().__init__(app, folder / "work", folder / "lab.log")
        self.app = app
        self.token = secrets.token_hex(16)
        self._private = {
            name: folder / name.lower()
            for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        }
        self._private |= {"MPLCONFIGDIR": folder / "matplotlib", "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces"}
        self._overrides = overrides
        self._ipykernel = ipykernel

    def prepare(self) -> None:
        """Its private folders, with the settings."""
        for path in (self.work, *self._private.values()):
            path.mkdir(parents=True)
        if self._overrides is not None:
            labconfig = self._private["JUPYTER_CONFIG_DIR"] / "labconfig"
            labconfig.mkdir()
            shutil.copy(self._overrides, labconfig / "default_setting_overrides.json")
        if self._ipykernel is not None:
            self._use(self._ipykernel)

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
        return json.loads(self.answer(f"api/{path}", method, Authorization=f"token {self.token}") or b"null")

    def alive(self) -> None:
        """Its status."""
        self.api("status")

    def command(self) -> list[str]:
        """The application, without a browser."""
        exposed = "JupyterNotebookApp" if self.app == "notebook" else "LabApp"
        return [
            sys.executable, "-m", self.app, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.port}",
            "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.work}", f"--{exposed}.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """With folders of its own."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "IPYTHON"))}
        return kept | {name: str(path) for name, path in self._private.items()}

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
