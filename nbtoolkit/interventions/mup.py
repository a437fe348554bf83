"""The maximal update parametrisation: a learning rate tuned on a narrow network that is right for wide ones."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from nbtoolkit.interventions._widths import LAYERS, LOOKUPS, TURNED, Width, widths
from nbtoolkit.numerics.given import is_finite, shown

OPTIMIZERS = ("adam", "sgd")
INITS = ("fan_in", "fixed", "kept")
MARK = "_scaled_by_mup"


def mup(
    model: nn.Module, base: nn.Module, *, lr: float, optimizer: str = "adam", weight_decay: float | None = None,
    init: str = "fan_in",
) -> list[dict[str, Any]]:  # fmt: skip
    """The parameters of a model in groups, each with the learning rate of its width; the model is scaled to match.

    Called once on a model as it was initialised, before it is wrapped, compiled or trained::

        model, base = Net(width=1024), Net(width=64)
        optimizer = torch.optim.Adam(mup(model, base, lr=2**-7))

    and then as ever, with the learning rate that is best at the width of the base. With ``r`` the width over that of
    the base:

    ================================  =========================  ==================  =============  ==========
    weights                           first values               the layer computes  Adam's lr      SGD's lr
    ================================  =========================  ==================  =============  ==========
    input (only the fan-out grows)    as in the base             W x                 lr             lr r_out
    biases, scales and offsets        as in the base             + b                 lr             lr r_out
    hidden (both grow)                times 1 / sqrt(r_in)       W x                 lr / r_in      lr r_out / r_in
    output (only the fan-in grows)    as in the base             W (x / r_in)        lr             lr r_in
    ================================  =========================  ==================  =============  ==========

    What does not grow stays as it is, so that a model as wide as the base trains as without this, bit for bit. Which
    dims grow is read from the two models. The x of output layers is divided by a hook on them; a weight tied to an
    embedding keeps the embedding's values and learning rate. Of a parameter outside of linear, convolution and
    embedding layers the last dim may grow, or the one of a vector, which makes it an input, or two dims equally, which
    makes it hidden. An output of shape ``(5, w)`` for ``F.linear`` cannot be told from an embedding and is taken for
    one: put it into an ``nn.Linear``. Attention whose heads become wider needs 1 / d in place of 1 / sqrt(d): in one's
    own, ``F.scaled_dot_product_attention(q, k, v, scale=base_d**0.5 / d)``; more heads of one width need nothing.
    `coordinate_check` shows whether a network was scaled right. Called again with the same base, it returns groups for
    another optimizer and scales nothing twice.

    Args:
        model: to be trained; its parameters are scaled in place and its output layers get the hook.
        base: the same network at the width at which the learning rate was found; only its shapes are read, so that it
            may be built on the device ``meta``.
        lr: that learning rate.
        optimizer: ``"adam"`` for all that divide by the size of the gradient (Adam, AdamW, RMSprop, Lion), ``"sgd"``
            for SGD with or without momentum.
        weight_decay: at the base; each group gets it such that the product with its learning rate is the same at every
            width. Given to the optimizer instead, hidden weights decay the less the wider they are.
        init: how the first values depend on the width so far. ``"fan_in"``: variance proportional to 1 / fan-in, of
            biases too, as torch's layers do. ``"fixed"``: one standard deviation at every width, as many transformers
            do. ``"kept"``: the values are right already, such as those of a checkpoint.

    Returns:
        Groups for the optimizer, with ``params``, ``lr`` and, where it is given, ``weight_decay``.

    Raises:
        ValueError: the models are not the same network, the model was scaled to another base before, a parameter grows
            in a way that has no rule, or a setting is none of the above.

    Source: Yang et al. (2022), Tensor Programs V, arXiv:2203.03466, table 8 and appendix B.
    """
    _check(model, base, lr, optimizer, weight_decay, init)
    found = widths(model, base)
    roles = _roles(model, found)
    if _is_new(model, roles):
        _divide_outputs(model, found)
        if init != "kept":
            _scale(model, roles, init)
    groups: dict[float, dict[str, Any]] = {}
    for name, param in model.named_parameters():
        if not param.requires_grad:
            continue
        factor = _factor(roles[name], optimizer)
        if factor not in groups:
            decay = {} if weight_decay is None else {"weight_decay": weight_decay / factor}
            groups[factor] = {"params": [], "lr": lr * factor, **decay}
        groups[factor]["params"].append(param)
    return list(groups.values())


class Divide:
    """A hook that divides what a layer is given by ``by``."""

    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Divide the one input."""
        if args:
            return (args[0] / self.by, *args[1:]), kwargs
        return args, kwargs | {"input": kwargs["input"] / self.by}


def _roles(model: nn.Module, found: Mapping[str, Mapping[str, Width]]) -> dict[str, Width]:
    """The width of each parameter by its first name; of tied ones that of the embedding."""
    first = {id(param): name for name, param in model.named_parameters()}
    roles: dict[str, Width] = {}
    for path, module in model.named_modules():
        for key, width in found.get(path, {}).items():
            name = first[id(module._parameters[key])]
            if name not in roles or isinstance(module, LOOKUPS):
                roles[name] = width
    return roles


def _factor(width: Width, optimizer: str) -> float:
    """Of the learning rate."""
    if optimizer == "adam":
        return 1 / width.fan_in if width.hidden else 1.0
    return width.fan_out / width.fan_in if width.hidden else width.fan_in * width.fan_out


def _is_new(model: Any, roles: dict[str, Width]) -> bool:
    """Whether the model is still to be scaled. What was done is kept on it, so that copies know it too."""
    if (before := getattr(model, MARK, None)) not in (None, roles):
        name = next(name for name in roles if roles[name] != before.get(name))
        raise ValueError(
            f"mup() has scaled this model before, to a base in which {name} has another shape; build the model anew."
        )
    setattr(model, MARK, roles)
    return before is None


def _divide_outputs(model: nn.Module, found: Mapping[str, Mapping[str, Width]]) -> None:
    for path, module in model.named_modules():
        weight = found.get(path, {}).get("weight")
        if weight is not None and weight.output and isinstance(module, LAYERS + TURNED):
            module.register_forward_pre_hook(Divide(weight.fan_in), with_kwargs=True)


@torch.no_grad()
def _scale(model: nn.Module, roles: Mapping[str, Width], init: str) -> None:
    for name, param in model.named_parameters():
        width = roles[name]
        drawn = width.drawn if init == "fan_in" else 1.0  # the variance of the base over the one it was drawn with
        factor = (drawn / width.fan_in if width.hidden else drawn) ** 0.5
        if factor != 1:
            param.mul_(factor)


def _check(model: Any, base: Any, lr: Any, optimizer: Any, weight_decay: Any, init: Any) -> None:
    for name, given in (("model", model), ("base", base)):
        if not isinstance(given, nn.Module):
            raise ValueError(f"mup() got a {type(given).__name__} as the {name}; it needs a torch.nn.Module.")
    if model is base:
        raise ValueError("mup() got one model as both; build the base anew, at the width where lr was found.")
    if not (is_finite(lr) and lr > 0):
        raise ValueError(f"mup() got lr={shown(lr)}; it must be a finite number above 0.")
    if weight_decay is not None and not (is_finite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"mup() got weight_decay={shown(weight_decay)}; it must be a finite number, 0 or more.")
    for name, given, known in (("optimizer", optimizer, OPTIMIZERS), ("init", init, INITS)):
        if given not in known:
            raise ValueError(f"mup() got {name}={shown(given)}; choose one of {', '.join(known)}.")
