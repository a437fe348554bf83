"""How many dimensions the hidden units of a layer fill."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._unit_activity import NO_HIDDEN
from nbtoolkit.numerics import ranks
from nbtoolkit.numerics.given import is_finite, shown
from nbtoolkit.numerics.units import samples

SILENT = "all hidden units are 0, and a matrix of zeros has no rank of this kind"


@instrument(
    outputs={
        "effective_rank": Var(("layer",), "1", "effective rank of the hidden units"),
        "srank": Var(("layer",), "1", "singular values that make up nearly all"),
    },
    every=50,
    reference="Roy & Vetterli (2007), EUSIPCO, section 2; Kumar et al. (2021), arXiv:2010.14498, section 3",
)
def effective_rank(
    activations: Mapping[str, Tensor | None], /, *, delta: float = 0.01, centred: bool = False
) -> dict[str, Any]:
    """Ranks of the matrix of hidden units that enter a layer, (examples, units), from its singular values s.

    ``effective_rank`` = exp(-sum_i p_i ln p_i) with p = s / sum(s): 1 for one direction, d for d directions that are
    equally strong. ``srank``: the smallest k such that the k largest s make up 1 - ``delta`` of their sum. ``centred``
    takes the mean over the examples off first. Each position of a convolution or of a sequence is an example.

    NaN where the model's own input enters a layer, it has no matrix, or is not called; where all its units are 0 (or,
    centred, constant), for which neither is defined; and where they are not finite.
    """
    if not is_finite(delta) or not 0 <= delta < 1:
        raise ValueError(f"delta={shown(delta)}: expected a number from 0 to below 1")
    spectra = [_spectrum(entering, centred) for entering in activations.values()]
    if all(values is None for values in spectra):
        given = any(entering is not None and entering.numel() > 0 for entering in activations.values())
        return dict.fromkeys(("effective_rank", "srank"), Unknown(SILENT if given else NO_HIDDEN))
    return {
        "effective_rank": [None if values is None else ranks.effective_rank(values) for values in spectra],
        "srank": [None if values is None else ranks.srank(values, delta) for values in spectra],
    }


def _spectrum(entering: Tensor | None, centred: bool) -> Tensor | None:
    """Singular values; NaN where what enters is not finite, None where nothing does or all is 0."""
    if entering is None or not entering.numel():
        return None
    if not bool(torch.isfinite(entering).all()):
        return torch.full((1,), torch.nan)
    rows = samples(entering)
    values = ranks.singular_values(rows, centred=centred)
    # Units that are constant are 0 when centred, but for rounding.
    return values if bool(values[0] > ranks.rounding(rows) * torch.linalg.vector_norm(rows)) else None
