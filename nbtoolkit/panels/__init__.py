"""Dataset in, Bokeh figure out. The panels of a variable follow from its dims alone.

Each panel is a module with two functions: ``columns(ds)``, the numbers drawn, and
``figure(source, ds, *, scale=None)``, the picture of them.
"""

from collections.abc import Iterable, Mapping
from types import ModuleType

from nbtoolkit.panels import curves, evolution, heatmap, spectrum, table
from nbtoolkit.store.schema import Var, companions

__all__ = ["curves", "evolution", "find", "heatmap", "pictures", "spectrum", "split", "table"]

RITZ = frozenset({"probe", "node"})
FOUND = {
    frozenset(): (curves,),
    frozenset({"group"}): (curves,),
    frozenset({"term"}): (curves,),
    frozenset({"rank"}): (curves,),
    frozenset({"radius"}): (curves,),
    frozenset({"batch_size"}): (curves,),
    frozenset({"param"}): (heatmap,),
    frozenset({"layer"}): (heatmap,),
    RITZ: (spectrum, evolution),
}


def find(dims: Iterable[str]) -> ModuleType:
    """The first panel module for variables with these dims (``step``, which all have, may be left out)."""
    return pictures(dims)[0]


def pictures(dims: Iterable[str]) -> tuple[ModuleType, ...]:
    """All panel modules for variables with these dims."""
    return FOUND.get(frozenset(dims) - {"step"}, (table,))


def split(variables: Mapping[str, Var]) -> list[tuple[str, ...]]:
    """Names of an instrument's variables, one tuple for each panel, in the order declared.

    Curves with the same dims, units, scale and line share a panel; pure numbers do not, for nothing says that a
    learning rate and a momentum can be compared. Ritz values are drawn with the weights declared after them. Every
    field has a panel of its own. What is the error or the line of another variable has none.
    """
    alone = {name: var for name, var in variables.items() if name not in companions(variables)}
    ritz = [name for name, var in alone.items() if frozenset(var.dims) == RITZ]
    panels: dict[tuple, list[str]] = {}
    for name, var in alone.items():
        key = (var.dims, var.units, var.scale, var.line, None if _is_shared(var) else name)
        if name in ritz:
            key = ("ritz", ritz.index(name) // 2)
        panels.setdefault(key, []).append(name)
    return [tuple(names) for names in panels.values()]


def _is_shared(var: Var) -> bool:
    return find(var.dims) is table or (find(var.dims) is curves and var.units != "1")
