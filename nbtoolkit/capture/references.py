"""What a piece of code refers to: the names under which it finds, and binds, the things it works on."""

import dis
import functools
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT"})()
BY_NAME = {"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "STORE_NAME", "DELETE_NAME",
           "LOAD_FROM_DICT_OR_GLOBALS"}  # fmt: skip
INSTALLED = {"site-packages", "dist-packages"}
STDLIB = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True, eq=False)
class Name:
    """A name in a namespace."""

    namespace: dict[str, Any]
    name: str

    def get(self) -> Any:
        """What is bound to it, or `ABSENT`."""
        return self.namespace.get(self.name, ABSENT)

    def put(self, value: Any) -> None:
        """Bind it; unbind it where ``value`` is `ABSENT`."""
        if value is ABSENT:
            self.namespace.pop(self.name, None)
        elif self.get() is not value:
            self.namespace[self.name] = value


@dataclass(frozen=True, eq=False)
class Cell:
    """A variable that a function shares with the one around it."""

    cell: CellType
    name: str

    def get(self) -> Any:
        """What is bound to it, or `ABSENT`."""
        try:
            return self.cell.cell_contents
        except ValueError:
            return ABSENT

    def put(self, value: Any) -> None:
        """Bind it; unbind it where ``value`` is `ABSENT`."""
        if value is not ABSENT:
            self.cell.cell_contents = value
        elif self.get() is not ABSENT:
            del self.cell.cell_contents


Place = Name | Cell


def of_function(function: FunctionType) -> Iterator[Place]:
    """The variables of a function that live on after a call: those it shares, and, of the user's code, its globals."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield Cell(cell, name)
    if is_users(function.__module__):
        yield from of_code(function.__code__, function.__globals__)


def of_code(code: CodeType, namespace: dict[str, Any]) -> Iterator[Name]:
    """The names of a namespace that code reads or binds, and those it reads of the user's own modules."""
    for name in sorted(names_of(code)):
        place = Name(namespace, name)
        yield place
        module = place.get()
        if isinstance(module, ModuleType) and is_users(module.__name__):
            attributes = (key for inner in (code, *_nested(code)) for key in inner.co_names)
            yield from (Name(vars(module), key) for key in sorted(set(attributes)) if key in vars(module))


def names_of(code: CodeType) -> set[str]:
    """The global names in code, and in the functions and classes it defines."""
    found = {word.argval for word in dis.get_instructions(code) if word.opname in BY_NAME}
    return found.union(*(names_of(inner) for inner in _nested(code)))


def bound_first(code: CodeType) -> set[str]:
    """The names that the text of a cell binds before it reads them; functions that it calls may read them earlier."""
    first: dict[str, str] = {}
    for word in dis.get_instructions(code):
        if word.opname in BY_NAME:
            first.setdefault(word.argval, word.opname)
    return {name for name, how in first.items() if how == "STORE_NAME"}


@functools.lru_cache(maxsize=1024)
def is_users(module: str | None) -> bool:
    """Whether a module is the user's: the notebook, or a file that was not installed."""
    if module is None or module == "__main__":
        return True
    top = module.partition(".")[0]
    if top == "nbtoolkit":
        return module.startswith("nbtoolkit.interventions")
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:  # made in a notebook, or in C
        return getattr(getattr(sys.modules.get(module), "__spec__", None), "origin", None) is None
    path = Path(file)
    return not (INSTALLED & set(path.parts) or path.is_relative_to(STDLIB))


def _nested(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]
