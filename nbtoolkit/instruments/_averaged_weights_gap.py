"""How much better the average of the parameters is than the parameters."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from nbtoolkit.instruments._averaged import averaged_weights
from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics.given import is_finite, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.statistics import with_statistics
from nbtoolkit.numerics.trees import HALF

NO_PROBE = Unknown("needs a probe, on which both are compared: give probe= and loss=, or --loss and --probe")
NO_AVERAGE = Unknown("nothing has been averaged yet: attach this to a run from the start, or give averaged=")
NO_DECAY = Unknown("the decay of the average given as averaged= is not known")


def moving_average(params: Mapping[str, Tensor], memory: dict[str, Any], *, decay: float, averaged: Any) -> None:
    """Take one step of the exponential moving average in ``memory``; one that is new begins at the parameters.

    The average follows the model to another device or precision; a tensor of another shape begins anew.
    """
    if averaged is not None or not _is_decay(decay):
        return
    kept = memory.setdefault("average", {})
    known = []
    for name, param in params.items():
        if name not in kept or kept[name].shape != param.shape:
            kept[name] = param.detach().to(_kind(param), copy=True)
            continue
        known.append(name)
        if kept[name].dtype != _kind(param) or kept[name].device != param.device:
            kept[name] = kept[name].to(param.device, _kind(param))
    if known:
        now = [param.to(_kind(param)) if param.dtype in HALF else param for param in (params[name] for name in known)]
        torch._foreach_lerp_([kept[name] for name in known], now, 1 - decay)


@instrument(
    outputs={
        "gap": Var((), "loss", "loss minus that of the average", line=0.0),
        "distance": Var((), "param", "distance from the averaged weights"),
        "horizon": Var((), "step", "steps that the average looks back"),
    },
    cost=lambda settings: 2,
    every=20,
    follow=moving_average,
    reference="Busbridge et al. (2023), arXiv:2307.13813, definition 1.1; Polyak & Juditsky (1992)",
)
def averaged_weights_gap(
    params: Mapping[str, Tensor], memory: dict[str, Any], loss_at_or_none: LossAt | None, /, *, decay: float = 0.99,
    averaged: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """Gap L(theta) - L(a) between the loss at the parameters and at their average, and the distance |theta - a|.

    The average is exponential, a <- ``decay`` a + (1 - ``decay``) theta at every step, from where this was attached; it
    looks back over ``horizon`` = 1 / (1 - ``decay``) steps. Parameters of half precision are averaged in float32. With
    ``averaged``, a `torch.optim.swa_utils.AveragedModel` or another module like the model, that one is compared. A gap
    above 0 says that averaging helps. For batches k times as large and a learning rate k times as large,
    ``decay``**k gives the same path.

    The loss is the probe's, in eval mode, with the running statistics of the model for both, or those of ``averaged``
    where it is given. Costs one copy of the parameters in memory, and one pass over them at every step.
    """
    if not _is_decay(decay):
        raise ValueError(f"decay={shown(decay)}: expected a number from 0 to below 1")
    known: dict[str, Tensor] = memory.get("average", {})
    horizon: Any = 1 / (1 - decay)
    if averaged is not None:
        known, horizon = _given(averaged, loss_at_or_none), NO_DECAY
    elif not known:
        return {"gap": NO_AVERAGE, "distance": NO_AVERAGE, "horizon": horizon}
    shared = [name for name in params if name in known and params[name].shape == known[name].shape]
    if not shared:
        raise ValueError("no parameter in training has the name and the shape of one of averaged=")
    moved = [torch.linalg.vector_norm(params[name].to(known[name]) - known[name]) for name in shared]
    distance = torch.linalg.vector_norm(torch.stack([norm.double().cpu() for norm in moved]))
    gap: Any = NO_PROBE
    if loss_at_or_none is not None:
        loss_at = with_statistics(loss_at_or_none, "frozen")
        like = params[shared[0]]
        mean = {name: part.to(params[name] if name in params else like.device) for name, part in known.items()}
        with torch.no_grad():
            gap = loss_at(params) - loss_at({**params, **mean})
    return {"gap": gap, "distance": distance, "horizon": horizon}


def _given(averaged: Any, loss_at: LossAt | None) -> dict[str, Tensor]:
    """Parameters and buffers of a module, by the names of the model's where that is known."""
    if loss_at is not None:
        return averaged_weights(loss_at.model, averaged, loss_at.prefix)
    own = getattr(averaged, "module", averaged) if isinstance(averaged, AveragedModel) else averaged
    own = getattr(own, "_orig_mod", own)
    return averaged_weights(own, own)


def _is_decay(decay: Any) -> bool:
    return is_finite(decay) and 0 <= decay < 1


def _kind(param: Tensor) -> torch.dtype:
    return torch.float32 if param.dtype in HALF else param.dtype
