"""Size of the update, alone and relative to the weights."""

import numpy as np

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.numerics import trees


def _derived(rows):
    update, weight = rows["update_norm"], rows["weight_norm"]
    # np.ma masks a division by zero.
    return {"ratio": np.ma.divide(update, weight), "total": np.sqrt((update**2).sum(axis=-1))}


@instrument(
    outputs={
        "total": Var((), units="param", long_name="update norm", scale="log"),
        "ratio": Var(("param",), units="1", long_name="update-to-weight ratio by parameter", scale="log"),
        "update_norm": Var(("param",), units="param", long_name="update norm by parameter", scale="log"),
    },
    cost=lambda settings: 0,
    every=10,
    reference="You, Gitman & Ginsburg (2017), arXiv:1708.03888, section 4",
    derive=_derived,
    combine={"update_norm": "norm", "weight_norm": "norm"},
)
def update_ratio(params, updates, /):
    """Norm of the update u_t = theta_{t+1} - theta_t, and its ratio ||u_l|| / ||theta_l||.

    Both per parameter tensor; ``total`` is the norm over all. The ratio of an all-zero tensor
    is NaN. Plain SGD gives ||u|| = lr ||g||.
    """
    return {"update_norm": trees.norms(updates), "weight_norm": trees.norms(params)}
