"""Hidden units that die or fall dormant."""

from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Group, Recorded
from nbtoolkit.analysis.robust import median, since
from nbtoolkit.analysis.rule import Sign, rule

MANY = 0.5  # share of a layer
GROWN, NOTABLE = 0.2, 0.3  # growth of a share, and the share itself
FEW, ENOUGH = 2, 4  # readings for a share, and for its growth


@rule(
    "dead or dormant units",
    severity="warn",
    needs=(("unit_activity",),),
    reference="Sokar et al. (2023), arXiv:2302.12902, section 3; Dohare et al. (2024), arXiv:2306.13812 (dead units)",
    advice="Lower the learning rate, or use LayerNorm, leaky units or regeneration "
    "(nbtoolkit.interventions.ContinualBackprop, NaP); units that are dead at the start point at the initialisation.",
)
def units(data: Recorded) -> Iterator[Sign]:
    """Half of the units of a layer are dead, or its dormant ones have grown by a fifth of the layer to 30 % or more.

    Dead in the last two readings. Grown: the median of the last quarter of the readings (two at least) against the
    first reading, of four readings at least. An alarm where all units of a layer are dead: nothing comes through it.
    """
    group = data.groups["unit_activity"]
    dead, dormant = group.rows("dead", "layer"), group.rows("dormant", "layer")
    if dead is None or dormant is None:
        return
    names = [str(name) for name in group.labels["layer"]]
    told = set()
    if len(dead) >= FEW:
        lowest = np.fmin(dead[-1], dead[-2])
        for layer in np.flatnonzero(lowest >= MANY):
            told.add(layer)
            yield _dead(group, names[layer], dead[:, layer])
    if len(dormant) < ENOUGH:
        return
    late = median(dormant[-max(2, len(dormant) // 4) :])
    for layer in range(len(names)):
        share, first = late[layer], dormant[0, layer]
        if layer not in told and share >= NOTABLE and share - first >= GROWN:
            begun = min(since(dormant[:, layer] - first >= GROWN), len(dormant) - 1)
            yield Sign(
                group.steps[begun],
                f"more and more units that enter layer {names[layer]} are dormant",
                f"share of dormant units {dormant[-1, layer]:.0%} at step {group.steps[-1]}, {first:.0%} at step "
                f"{group.steps[0]}", f"line {max(NOTABLE, first + GROWN):.0%}", "unit_activity",
            )  # fmt: skip


def _dead(group: Group, name: str, dead: np.ndarray) -> Sign:
    share = "all" if dead[-1] == 1 == dead[-2] else "at least half of the"
    first = f", {dead[0]:.0%} at step {group.steps[0]}" if dead[0] == dead[0] else ""
    return Sign(
        group.steps[since(dead >= MANY)], f"{share} units that enter layer {name} are dead",
        f"share of dead units {dead[-1]:.0%} at step {group.steps[-1]}{first}", f"line {MANY:.0%}", "unit_activity",
        "alarm" if share == "all" else "",
    )  # fmt: skip
