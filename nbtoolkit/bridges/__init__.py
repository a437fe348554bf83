"""Other people's loops and engines, each an optional extra that is loaded on first touch.

``nbtoolkit.bridges.lightning.LandscapeCallback``, ``nbtoolkit.bridges.transformers.LandscapeCallback``,
``nbtoolkit.bridges.dask.map_runs``. Loops of Accelerate, of Lightning Fabric and plain ones need none.
"""

from importlib import import_module
from types import ModuleType

MODULES = ("dask", "lightning", "transformers")


def __getattr__(name: str) -> ModuleType:
    if name in MODULES:
        return import_module(f"nbtoolkit.bridges.{name}")
    raise AttributeError(f"module 'nbtoolkit.bridges' has no attribute {name!r}; it has: {', '.join(MODULES)}")


def __dir__() -> list[str]:
    return list(MODULES)
