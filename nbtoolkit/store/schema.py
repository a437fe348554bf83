"""The words of a stored run: its dimensions, and what a variable declares about itself."""

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
    "node": "index of a quadrature node",
    "bin": "centre of a histogram bin",
    "alpha": "first coordinate of a slice",
    "beta": "second coordinate of a slice",
    "task_trained": "name of the task trained last",
    "task_evaluated": "name of the task evaluated",
    "example": "index of a training example",
    "batch_size": "examples in a mini-batch",
    "run": "name of a run",
    "fork": "name of a fork",
}

SCALES = ("linear", "log")


@dataclass(frozen=True)
class Var:
    """What one measured variable is: its dims besides ``step``, its units and its name.

    Args:
        dims: words of `DIMS`, without ``step``, which every variable has.
        units: as written on an axis; ``"1"`` for a pure number.
        long_name: the quantity in words; the title of its panel.
        scale: ``"log"`` for positive quantities spread over decades.

    Raises:
        InstrumentError: a dim is not in `DIMS`, or the scale is not in `SCALES`.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str
    scale: str = "linear"

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

    def attrs(self) -> dict[str, Any]:
        """The xarray attributes of the variable."""
        return {"long_name": self.long_name, "units": self.units, "scale": self.scale}
