"""See how a network trains, while it trains: curves, norms and spectra of a live PyTorch loop."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbtoolkit import analysis, bridges, instruments, interventions, panels
    from nbtoolkit.capture import Run, open_run, watch
    from nbtoolkit.errors import TrainingStopped
    from nbtoolkit.instruments import Var, instrument
    from nbtoolkit.magics import load_ipython_extension
    from nbtoolkit.widget import export_html, export_image, show

    __version__: str

# Names load on first touch, so that `%load_ext nbtoolkit` costs nothing.
_HOMES = {
    "watch": "nbtoolkit.capture",
    "Run": "nbtoolkit.capture",
    "open_run": "nbtoolkit.capture",
    "instrument": "nbtoolkit.instruments",
    "Var": "nbtoolkit.instruments",
    "show": "nbtoolkit.widget",
    "export_html": "nbtoolkit.widget",
    "export_image": "nbtoolkit.widget",
    "TrainingStopped": "nbtoolkit.errors",
    "load_ipython_extension": "nbtoolkit.magics",
}
_MODULES = ("instruments", "interventions", "analysis", "panels", "bridges")

__all__ = [
    "Run", "TrainingStopped", "Var", "__version__", "analysis", "bridges", "export_html", "export_image", "instrument",
    "instruments", "interventions", "load_ipython_extension", "open_run", "panels", "show", "watch",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("nbtoolkit-landscape")
    if name == "unload_ipython_extension":
        return import_module("nbtoolkit.magics").unload_ipython_extension
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"nbtoolkit.{name}")
    raise AttributeError(f"module 'nbtoolkit' has no attribute {name!r}; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
