"""Dataset in, Bokeh figure out. The panel of a variable follows from its dims alone.

Each panel is a module with two functions: ``columns(ds)``, the numbers drawn, and
``figure(source, ds, *, scale=None)``, the picture of them.
"""

from collections.abc import Iterable, Mapping
from types import ModuleType

from nbtoolkit.panels import curves, heatmap, table
from nbtoolkit.store.schema import Var

__all__ = ["curves", "find", "heatmap", "split", "table"]

FOUND = {
    frozenset(): curves,
    frozenset({"group"}): curves,
    frozenset({"term"}): curves,
    frozenset({"param"}): heatmap,
    frozenset({"layer"}): heatmap,
}


def find(dims: Iterable[str]) -> ModuleType:
    """The panel module for variables with these dims (``step``, which all have, may be left out)."""
    return FOUND.get(frozenset(dims) - {"step"}, table)


def split(variables: Mapping[str, Var]) -> list[tuple[str, ...]]:
    """Names of an instrument's variables, one tuple for each panel, in the order declared.

    Curves with the same dims, units and scale share a panel; pure numbers do not, for nothing says that a
    learning rate and a momentum can be compared. Every field has a panel of its own.
    """
    panels: dict[tuple, list[str]] = {}
    for name, var in variables.items():
        shared = find(var.dims) is table or (find(var.dims) is curves and var.units != "1")
        key = (var.dims, var.units, var.scale, None if shared else name)
        panels.setdefault(key, []).append(name)
    return [tuple(names) for names in panels.values()]
