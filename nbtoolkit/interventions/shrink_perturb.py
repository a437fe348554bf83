"""Shrink and perturb: start the next task from between the present parameters and new ones."""

import torch
from torch import nn

from nbtoolkit.interventions._fresh import fresh as drawn_anew
from nbtoolkit.numerics.given import is_finite, is_seed, shown


def shrink_perturb(
    model: nn.Module, shrink: float, perturb: float, *, seed: int = 0, fresh: nn.Module | None = None
) -> None:
    """Set every trained parameter to ``shrink * theta + perturb * theta_new``, theta_new a new initialisation.

    Where a task begins::

        for task, (x, y) in enumerate(tasks):
            if task:
                shrink_perturb(model, 0.6, 0.4, seed=task)

    ``shrink=1, perturb=0`` changes nothing, ``shrink=0, perturb=1`` is a fresh start. The paper adds noise of a fixed
    variance; its code, followed here, takes it from an initialisation, so that each layer has its own scale. Buffers
    stay, and so does the optimizer's state. The global random state is not used.

    Args:
        model: is changed in place.
        shrink: lambda of the authors.
        perturb: scale of what is added.
        seed: of the new parameters; take another for each task.
        fresh: a newly made model of the same architecture, for those whose layers do not tell how they were
            initialised; where none is given each layer's ``reset_parameters()`` says.

    Raises:
        ValueError: a number is negative or not finite, the seed is none, the other model does not fit, or a layer
            cannot initialise itself.

    Source: Ash & Adams (2020), On warm-starting neural network training, arXiv:1910.08475, section 4.
    """
    for name, value in (("shrink", shrink), ("perturb", perturb)):
        if not (is_finite(value) and value >= 0):
            raise ValueError(f"shrink_perturb() got {name}={shown(value)}; it must be a finite number, 0 or more.")
    if not is_seed(seed):
        raise ValueError(f"shrink_perturb() got seed={shown(seed)}; give a whole number from 0 to 2**64 - 1.")
    trained = {name: param for name, param in model.named_parameters() if param.requires_grad}
    new = dict((drawn_anew(model, seed) if fresh is None else fresh).named_parameters())
    unfit = [name for name, param in trained.items() if name not in new or new[name].shape != param.shape]
    if unfit:
        raise ValueError(f"shrink_perturb() got a fresh model without a {unfit[0]} of the model's shape.")
    with torch.no_grad():
        for name, param in trained.items():
            param.mul_(shrink).add_(new[name].to(param), alpha=perturb)
