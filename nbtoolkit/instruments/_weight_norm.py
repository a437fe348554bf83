"""Norms of the weights and their distance from initialisation."""

import numpy as np

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.numerics import trees


def _root_sum_square(norms):
    return np.sqrt((norms**2).sum(axis=-1))


@instrument(
    outputs={
        "total": Var((), units="param", long_name="weight norm"),
        "total_distance": Var((), units="param", long_name="distance from initialisation"),
        "weight_norm": Var(("param",), units="param", long_name="weight norm by parameter", scale="log"),
        "distance": Var(("param",), units="param", long_name="distance from initialisation by parameter"),
    },
    cost=lambda settings: 0,
    every=10,
    reference="Hoffer, Hubara & Soudry (2017), arXiv:1705.08741, section 3",
    derive=lambda rows: {
        "total": _root_sum_square(rows["weight_norm"]),
        "total_distance": _root_sum_square(rows["distance"]),
    },
    combine={"weight_norm": "norm", "distance": "norm"},
)
def weight_norm(params, initial_params, /):
    """Norm ||theta_l|| and distance ||theta_l - theta_{0,l}|| from where watching began.

    Per parameter tensor, and over all as the root of the sum of squares. The distance of a
    tensor whose shape has changed since is NaN. Costs one copy of the parameters in memory.
    """
    moved = trees.difference(params, initial_params)
    return {"weight_norm": trees.norms(params), "distance": trees.norms(moved)}
