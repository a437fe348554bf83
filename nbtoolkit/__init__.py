"""See how a network trains, while it trains: curves, norms and spectra of a live PyTorch loop."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Names load on first touch, so that `%load_ext nbtoolkit` costs nothing.
_HOMES = {
    "watch": "nbtoolkit.capture",
    "Run": "nbtoolkit.capture",
    "open_run": "nbtoolkit.capture",
    "instrument": "nbtoolkit.instruments",
    "Var": "nbtoolkit.instruments",
    "show": "nbtoolkit.widget",
    "export_html": "nbtoolkit.widget",
    "load_ipython_extension": "nbtoolkit.magics",
}
_MODULES = ("instruments", "analysis", "panels")

__all__ = [*_HOMES, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "unload_ipython_extension":
        return import_module("nbtoolkit.magics").unload_ipython_extension
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"nbtoolkit.{name}")
    raise AttributeError(f"module 'nbtoolkit' has no attribute {name!r}; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
