"""Bring the hidden units of one model into the order of another's, so that their weights can be averaged."""

from typing import Any

from torch import Tensor, nn

from nbtoolkit.numerics.alignment import match
from nbtoolkit.numerics.layer_graph import symmetries


def align_units(model: nn.Module, reference: nn.Module, inputs: Any, *, seed: int = 0) -> dict[str, Tensor]:
    """State dict of ``model`` with its units permuted to come closest to ``reference``; it computes the same.

    Which units can move, and what moves with them (rows and columns of weights, biases, statistics of normalisation
    layers), is found by tracing the model; the order by weight matching, see `permutation_alignment`. Neither model is
    changed::

        merged = {name: (a + b) / 2 for (name, a), b in zip(reference.state_dict().items(), aligned.values())}

    Args:
        model: whose units are to be permuted.
        reference: of the same architecture.
        inputs: an example batch of the model's inputs; a tuple or a dict are its arguments.
        seed: of the matching.

    Raises:
        ValueError: the models differ, or the model has a part of which it is not known how its units may move.

    Source: Ainsworth et al. (2023), Git Re-Basin, arXiv:2209.04836, section 3.2.
    """
    groups = symmetries(model, inputs)
    state = model.state_dict()
    return groups.permuted(state, match(reference.state_dict(), state, groups, seed=seed))
