"""The plane in which training has moved the parameters most."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics.given import is_whole, shown
from nbtoolkit.numerics.trajectory import MOST, Trajectory, principal, random_walk_ratios

TOO_FEW = Unknown("a plane needs copies of the parameters at three steps, two of them elsewhere than the newest")


def _components(settings: Mapping[str, Any]) -> Sequence[int]:
    count = settings["components"]
    return range(1, int(count) + 1) if is_whole(count) else ()  # the measurement says what is wrong


@instrument(
    outputs={
        "coordinates": Var(("snapshot", "pc"), "param", "path of training in its principal plane"),
        "explained": Var(("pc",), "1", "share of the squared distance"),
        "random_walk": Var(("pc",), "1", "share that a random walk would show"),
        "snapshot_step": Var(("snapshot",), "1", "optimizer steps done at each copy"),
    },
    every=20,
    labels={"snapshot": lambda s: range(MOST), "pc": _components},
    reference="Li et al. (2018), arXiv:1712.09913, section 7; random walk: Antognini and Sohl-Dickstein (2018)",
)
def trajectory_pca(trajectory: Trajectory, /, *, components: int = 2) -> dict[str, Any]:
    """Principal components of the path of the parameters so far, seen from where they are now.

    Uncentred singular value decomposition of the rows ``theta_t - theta_T``, t the measured steps and T this one:
    ``coordinates`` in parameter norm, the newest at the origin and the first on the positive side; ``explained``, the
    share of ``sum_t |theta_t - theta_T|^2`` along each component. A random walk in many dimensions, seen at the same
    steps, gives ``random_walk``: two components of it hold 0.9 of a long one, so that a high share says little by
    itself.

    At most 64 copies are kept, thinned as training goes on; of models above a million parameters in half precision,
    above two million as a random projection, which changes inner products by about a thousandth of the lengths.
    """
    if not is_whole(components, 1):
        raise ValueError(f"components={shown(components)}: expected a whole number of components, 1 or more")
    components = int(components)
    found = principal(trajectory.inner(), components) if len(trajectory) > 2 else None
    if found is None or not len(found.ratios):
        return {"coordinates": TOO_FEW, "explained": TOO_FEW, "random_walk": TOO_FEW, "snapshot_step": TOO_FEW}
    nan = float("nan")
    coordinates = torch.full((MOST, components), nan, dtype=torch.float64)
    coordinates[: len(trajectory), : found.coordinates.shape[1]] = found.coordinates
    explained, walk = torch.zeros(components), torch.full((components,), nan)
    steps = torch.full((MOST,), nan, dtype=torch.float64)
    explained[: len(found.ratios)] = found.ratios
    expected = random_walk_ratios(trajectory.steps, components)
    walk[: len(expected)] = expected
    steps[: len(trajectory)] = torch.tensor(trajectory.steps, dtype=torch.float64)
    return {"coordinates": coordinates, "explained": explained, "random_walk": walk, "snapshot_step": steps}
