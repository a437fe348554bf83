"""Norms of the gradient."""

import numpy as np

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.numerics import trees


@instrument(
    outputs={
        "total": Var((), units="loss/param", long_name="gradient norm", scale="log"),
        "grad_norm": Var(("param",), units="loss/param", long_name="gradient norm by parameter", scale="log"),
    },
    cost=lambda settings: 0,
    every=1,
    reference="Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, section 3.2",
    derive=lambda rows: {"total": np.sqrt((rows["grad_norm"] ** 2).sum(axis=-1))},
    combine={"grad_norm": "norm"},
)
def grad_norm(grads, /):
    """Euclidean norm of the gradient, ||g_l|| for each parameter tensor and ||g|| for all.

    ``total`` is sqrt(sum_l ||g_l||^2). The gradient is the one the optimizer uses: after
    clipping and unscaling. A parameter without a gradient is NaN and counts nothing in the total.
    """
    return {"grad_norm": trees.norms(grads)}
