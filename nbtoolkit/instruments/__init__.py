"""The shelf of instruments. An import line here puts one on it."""

import sys

from nbtoolkit.instruments._base import NEEDS as NEEDS
from nbtoolkit.instruments._base import Instrument as Instrument
from nbtoolkit.instruments._base import Var as Var
from nbtoolkit.instruments._base import instrument as instrument
from nbtoolkit.instruments._grad_norm import grad_norm as grad_norm
from nbtoolkit.instruments._loss import loss as loss
from nbtoolkit.instruments._lr import lr as lr
from nbtoolkit.instruments._step_time import step_time as step_time
from nbtoolkit.instruments._update_ratio import update_ratio as update_ratio
from nbtoolkit.instruments._weight_norm import weight_norm as weight_norm


def known() -> dict[str, Instrument]:
    """Every instrument on the shelf, by name."""
    return {name: thing for name, thing in vars(sys.modules[__name__]).items() if isinstance(thing, Instrument)}


def default() -> tuple[Instrument, ...]:
    """The instruments of a run for which none are named: the cheap ones."""
    return (loss, lr, grad_norm, update_ratio, weight_norm, step_time)
