"""The shelf of rules. An import line here puts one on it."""

import sys

from nbtoolkit.analysis.rule import Rule
from nbtoolkit.analysis.rules._divergence import divergence as divergence
from nbtoolkit.analysis.rules._edge import at_the_edge as at_the_edge
from nbtoolkit.analysis.rules._edge import past_the_edge as past_the_edge
from nbtoolkit.analysis.rules._forgetting import forgetting as forgetting
from nbtoolkit.analysis.rules._forgetting import stability_gap as stability_gap
from nbtoolkit.analysis.rules._interventions import interventions as interventions
from nbtoolkit.analysis.rules._layers import exploding as exploding
from nbtoolkit.analysis.rules._layers import vanishing as vanishing
from nbtoolkit.analysis.rules._noise import noise_scale as noise_scale
from nbtoolkit.analysis.rules._non_finite import non_finite as non_finite
from nbtoolkit.analysis.rules._plateau import plateau as plateau
from nbtoolkit.analysis.rules._spike import spike as spike
from nbtoolkit.analysis.rules._units import units as units
from nbtoolkit.analysis.rules._updates import updates as updates


def known() -> dict[str, Rule]:
    """Every rule on the shelf, by the name of its function."""
    return {name: thing for name, thing in vars(sys.modules[__name__]).items() if isinstance(thing, Rule)}
