"""How much wider each parameter of a model is than the same one of a base model, along its fan-in and its fan-out."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # weight: fan-out, fan-in, kernel
TURNED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)  # fan-in, fan-out, kernel
LOOKUPS = (nn.Embedding, nn.EmbeddingBag)  # one row is taken: nothing is summed


@dataclass(frozen=True)
class Width:
    """Of one parameter; 1 where it is no wider than in the base.

    Args:
        fan_in: how many times as many terms are summed into each output.
        fan_out: how many times as many outputs there are.
        drawn: how many times smaller the variance is that torch's layers draw it with.
    """

    fan_in: float
    fan_out: float
    drawn: float

    @property
    def hidden(self) -> bool:
        """Whether both grow: a matrix that becomes infinite in both directions."""
        return self.fan_in != 1 and self.fan_out != 1

    @property
    def output(self) -> bool:
        """Whether more terms are summed into as many outputs."""
        return self.fan_in != 1 and self.fan_out == 1


def widths(model: nn.Module, base: nn.Module) -> dict[str, dict[str, Width]]:
    """Of each module of the model, by name, the widths of its own parameters, by name.

    Args:
        model: to be trained.
        base: the same model, narrower; only its shapes are read, so that it may be on the device ``meta``.

    Raises:
        ValueError: the two do not have the same parameters, or one grows in a way that has no rule.
    """
    narrow = dict(base.named_modules())
    found: dict[str, dict[str, Width]] = {}
    for path, module in model.named_modules():
        own = {name: param for name, param in module._parameters.items() if param is not None}
        other = narrow.get(path)
        before = {} if other is None else {name: p for name, p in other._parameters.items() if p is not None}
        if own.keys() != before.keys():
            odd = sorted(own.keys() ^ before.keys())[0]
            where = "the base" if odd in own else "the model"
            raise ValueError(
                f"mup() found no {_joined(path, odd)} in {where}; base and model must be the same network, built with "
                "different widths."
            )
        if own:
            found[path] = _of_module(path, module, own, before)
        _check_heads(path, module, other)
    gone = [path for path, module in narrow.items() if path not in found and list(module.parameters(recurse=False))]
    if gone:
        raise ValueError(
            f"mup() found no {gone[0]} in the model, which the base has; they must be the same network, built with "
            "different widths."
        )
    return found


def _of_module(
    path: str, module: nn.Module, own: dict[str, nn.Parameter], before: dict[str, nn.Parameter]
) -> dict[str, Width]:
    grown = {name: _ratios(_joined(path, name), param, before[name]) for name, param in own.items()}
    if isinstance(module, nn.RNNBase) and any(ratio != 1 for ratios in grown.values() for ratio in ratios):
        raise ValueError(
            f"mup() has no rule for {path or 'the model'} ({type(module).__name__}), which draws all its weights by "
            "one width; write it with nn.Linear layers."
        )
    if isinstance(module, LOOKUPS):
        return {"weight": Width(1.0, grown["weight"][1], 1.0)}
    if not isinstance(module, LAYERS + TURNED):
        return {name: _unknown(path, name, module, ratios, tuple(own[name].shape)) for name, ratios in grown.items()}
    first, second = grown["weight"][:2]  # torch draws by the second, also where that is the fan-out
    fan_in, fan_out = (first, second) if isinstance(module, TURNED) else (second, first)
    told = {"weight": Width(fan_in, fan_out, second)}
    return told | {name: Width(1.0, ratios[0], second) for name, ratios in grown.items() if name != "weight"}


def _unknown(path: str, name: str, module: nn.Module, ratios: list[float], shape: tuple[int, ...]) -> Width:
    """Of a parameter whose directions nobody tells: of a vector, of growing rows, of a matrix that grows evenly."""
    grown = [ratio for ratio in ratios if ratio != 1]
    if isinstance(module, nn.MultiheadAttention) and len(ratios) == 2:
        return Width(ratios[1], ratios[0], ratios[1])
    if not grown or (len(grown) == 1 and not _is_summed_over(ratios, shape)):
        return Width(1.0, math.prod(grown), 1.0)
    if len(grown) == 2 and grown[0] == grown[1]:
        return Width(grown[0], grown[0], grown[0])
    times = ", ".join(f"{ratio:g}" for ratio in grown)
    raise ValueError(
        f"mup() cannot tell the fan-in of {_joined(path, name)} ({type(module).__name__}), which is {times} times as "
        "large as in the base; put it into an nn.Linear."
    )


def _is_summed_over(ratios: list[float], shape: tuple[int, ...]) -> bool:
    """Whether the one dim that grows may be summed over, as the first of ``w`` is in ``x @ w``."""
    at = next(dim for dim, ratio in enumerate(ratios) if ratio != 1) - len(shape)
    vector = at != -2 and all(size == 1 for dim, size in enumerate(shape, -len(shape)) if dim != at)
    return at != -1 and not vector


def _check_heads(path: str, module: nn.Module, other: nn.Module | None) -> None:
    if not isinstance(module, nn.MultiheadAttention) or not isinstance(other, nn.MultiheadAttention):
        return
    if module.head_dim != other.head_dim:
        raise ValueError(
            f"mup() got {path or 'a model'} with heads of width {module.head_dim}, {other.head_dim} in the base, and "
            "nn.MultiheadAttention always divides by the root of that; widen by num_heads, or call "
            f"F.scaled_dot_product_attention(..., scale={other.head_dim} ** 0.5 / {module.head_dim})."
        )


def _ratios(name: str, param: Tensor, before: Tensor) -> list[float]:
    if param.ndim != before.ndim or 0 in before.shape:
        raise ValueError(
            f"mup() got {name} with shape {tuple(param.shape)}, in the base {tuple(before.shape)}; they must be the "
            "same network, built with different widths."
        )
    return [now / then for now, then in zip(param.shape, before.shape, strict=True)]


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
