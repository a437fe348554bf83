"""Python's shared generator of random numbers, left to the training in a worker's process."""

import random
import sys
from types import ModuleType

ENGINE = ("dask", "distributed", "tornado")
_own = random.Random()


def leave_to_training() -> None:
    """Give the modules of the engine a generator of their own.

    A worker talks to its scheduler from another thread, at intervals in which it draws a little chance: from the
    generator that every training shares with it, which would make its numbers depend on the time it takes.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ENGINE and isinstance(module, ModuleType):
            _leave(module)


def _leave(module: ModuleType) -> None:
    for key, value in list(vars(module).items()):
        if value is random:
            setattr(module, key, _own)
        elif getattr(value, "__self__", None) is random._inst:  # type: ignore[attr-defined]
            setattr(module, key, getattr(_own, value.__name__))
