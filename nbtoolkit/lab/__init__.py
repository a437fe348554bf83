"""The only part that knows a Jupyter server: it tells JupyterLab of runs and companions over HTTP.

It reads small files and imports nothing of the rest, so that a server does not load torch.
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """What a server asks a package for."""
    return [{"module": "nbtoolkit.lab"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Called by the server as it starts."""
    from nbtoolkit.lab.handlers import routes

    server.web_app.add_handlers(".*$", routes(server.web_app.settings["base_url"]))
