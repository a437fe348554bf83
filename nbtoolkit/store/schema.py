"""The words of a stored run: its dimensions, and what a variable declares about itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbtoolkit.errors import InstrumentError

VERSION = 1

DIMS = {
    "step": "optimizer steps done when the value was measured",
    "param": "name of a parameter tensor",
    "layer": "name of a module",
    "unit": "index of a neuron or channel",
    "group": "index of an optimizer parameter group",
    "term": "name of an additive term of the loss",
    "probe": "index of a random probe vector",
    "node": "index of a quadrature node",
    "rank": "place of an eigenvalue, the largest first",
    "radius": "radius of a perturbation",
    "bin": "centre of a histogram bin",
    "alpha": "first coordinate of a slice, in units of its first direction",
    "beta": "second coordinate of a slice, in units of its second direction",
    "snapshot": "index of a kept copy of the parameters, the oldest first",
    "other": "index of the other of two kept copies",
    "layer_other": "name of the other of two modules",
    "pc": "place of a principal component, the largest first",
    "task_trained": "name of the task trained last",
    "task_evaluated": "name of the task evaluated",
    "task_other": "name of the other of two tasks",
    "term_other": "name of the other of two terms of the loss",
    "probe_step": "steps of a training on the side",
    "quantile": "share of the values that lie below",
    "index": "place of a singular value, the largest first",
    "metric": "name of a quantity computed from a run",
    "strategy": "name of a way to train",
    "example": "index of a training example",
    "batch_size": "examples in a mini-batch",
    "run": "name of a run",
    "fork": "name of a fork",
}

# Along these NaN is room that is not used, or a point that is not evaluated: no sign of a training gone wrong.
ROOM = {"probe", "node", "alpha", "beta", "snapshot", "other", "pc", "task_trained", "index"}

SCALES = ("linear", "log")
COMPANIONS = ("error", "line", "path", "training")


@dataclass(frozen=True)
class Var:
    """What one measured variable is: its dims besides ``step``, its units and its name.

    Args:
        dims: words of `DIMS`, without ``step``, which every variable has.
        units: as written on an axis; ``"1"`` for a pure number.
        long_name: the quantity in words; the title of its panel.
        scale: ``"log"`` for positive quantities spread over decades.
        error: name of the output that holds the standard error or bound of this one, with the same dims.
        line: what this one is read against: a constant, or the name of an output without dims.
        path: name of the output with the dims snapshot and pc that holds a path drawn on this slice.
        training: name of the output that tells, with the same dims, which task is being trained.

    Raises:
        InstrumentError: a dim is not in `DIMS`, the scale is not in `SCALES`, or the line is no finite number.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str
    scale: str = "linear"
    error: str = ""
    line: str | float = ""
    path: str = ""
    training: str = ""

    def __post_init__(self) -> None:
        """Refuse words that have no meaning here."""
        unknown = [dim for dim in self.dims if dim not in DIMS or dim == "step"]
        if unknown:
            known = ", ".join(dim for dim in DIMS if dim != "step")
            raise InstrumentError(
                f"{self.long_name!r} is declared with dims {unknown}; dims besides step are: {known}."
            )
        if self.scale not in SCALES:
            raise InstrumentError(f"{self.long_name!r} is declared with scale {self.scale!r}; use 'linear' or 'log'.")
        if not isinstance(self.line, str) and not math.isfinite(self.line):
            raise InstrumentError(
                f"{self.long_name!r} is declared with the line {self.line}; use a finite number or an output's name."
            )

    def attrs(self) -> dict[str, Any]:
        """The xarray attributes of the variable."""
        told = {"long_name": self.long_name, "units": self.units, "scale": self.scale}
        return told | {key: value for key in COMPANIONS if (value := getattr(self, key)) != ""}

    @classmethod
    def read(cls, dims: tuple[str, ...], attrs: Mapping[str, Any]) -> "Var":
        """The declaration of a stored variable, from its dims besides ``step`` and what `attrs` gave."""
        words = {key: str(attrs.get(key, "")) for key in ("units", "long_name", "scale", *COMPANIONS) if key != "line"}
        line = attrs.get("line", "")
        return cls(dims, **words, line=line if isinstance(line, str) else float(line))


def companions(variables: Mapping[str, Var]) -> set[str]:
    """Names of the variables that are the error, line, path or training of another: never drawn on their own."""
    told = {name for var in variables.values() for word in COMPANIONS if isinstance(name := getattr(var, word), str)}
    return told & set(variables)


def check_companions(variables: Mapping[str, Var]) -> None:
    """Refuse an error, a line or a path that is not there to be drawn.

    Raises:
        InstrumentError: an ``error`` or ``training`` names no other variable with the same dims, a ``line`` none
            without dims, or a ``path`` none with the dims snapshot and pc.
    """
    for name, var in variables.items():
        for word, dims in {"error": var.dims, "line": (), "path": ("snapshot", "pc"), "training": var.dims}.items():
            other = getattr(var, word)
            if other == "" or not isinstance(other, str):
                continue
            fitting = [key for key, one in variables.items() if one.dims == dims and key != name]
            if other not in fitting:
                raise InstrumentError(
                    f"{name!r} names {other!r} as its {word}, which is no other output with dims {dims}; "
                    f"there are: {', '.join(fitting) or 'none'}."
                )
