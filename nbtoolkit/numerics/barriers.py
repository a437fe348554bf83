"""Loss and error rate on the straight line between two points, and how far they rise above it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nbtoolkit.numerics.given import is_whole, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.points import Points
from nbtoolkit.numerics.statistics import STATISTICS, Normalisation
from nbtoolkit.numerics.trees import layer_of

SHOWN = 3  # names in a message
AUTOMATIC = "automatic"


class Path(NamedTuple):
    """Loss and error rate at ``fractions`` of the way, each ``(points,)``, float64 on the host.

    ``no_error`` says why there is no error rate; it is empty where there is one.
    """

    fractions: Tensor
    loss: Tensor
    error: Tensor
    no_error: str


def path(
    loss_at: LossAt, start: Mapping[str, Tensor], end: Mapping[str, Tensor], *, points: int = 21,
    statistics: str = AUTOMATIC,
) -> Path:  # fmt: skip
    """Loss and error rate at ``(1 - a) start + a end``, a in 0 ... 1; see `paths`."""
    (found,) = paths(loss_at, [start], end, points=points, statistics=statistics)
    return found


def paths(
    loss_at: LossAt, starts: Sequence[Mapping[str, Tensor]], end: Mapping[str, Tensor], *, points: int = 21,
    statistics: str = AUTOMATIC,
) -> list[Path]:  # fmt: skip
    """Loss and error rate on the lines from several points to one, which is evaluated once and to the last bit.

    Args:
        loss_at: the loss, over its whole probe.
        starts: parameters by name, of each line's beginning.
        end: parameters with the same names and shapes.
        points: on each line, the two ends included.
        statistics: of normalisation layers, see `with_statistics`; ``"automatic"``: re-estimated at every point where
            the model has running statistics, else frozen.

    Raises:
        ValueError: there are fewer than 2 points, the statistics are not known, or the names or shapes differ.
    """
    fractions = fractions_of(points)
    if statistics not in (AUTOMATIC, *STATISTICS):
        known = ", ".join(map(repr, (AUTOMATIC, *STATISTICS)))
        raise ValueError(f"statistics={shown(statistics)}: expected one of {known}")
    how = default_statistics(loss_at.model) if statistics == AUTOMATIC else statistics
    directions = []
    for start in starts:
        check_alike(start, end)
        steps = {name: (start[name] - part).detach() for name, part in end.items()}
        directions.append({name: step for name, step in steps.items() if bool(step.any())})
    moving = torch.diag(torch.tensor([float(bool(direction)) for direction in directions], dtype=torch.float64))
    along = Points(loss_at, end, directions, statistics=how)
    found = along(torch.cat([(1 - fractions)[:, None] * row for row in moving]))
    values = zip(*(part.split(len(fractions)) for part in found), strict=True)
    return [Path(fractions, loss, error, along.no_error) for loss, error in values]


def fractions_of(points: int) -> Tensor:
    """Where the points on a line are: from 0 to 1, evenly.

    Raises:
        ValueError: there are fewer than 2, or no whole number.
    """
    if not is_whole(points, 2):
        raise ValueError(f"points={shown(points)}: a line needs its two ends: a whole number of 2 or more")
    return torch.linspace(0, 1, int(points), dtype=torch.float64)


def barrier(fractions: Tensor, values: Tensor) -> float:
    """``max_a [L(a) - ((1 - a) L(0) + a L(1))]``: the rise above the chord; 0 or more, NaN where a value is.

    Source: Frankle et al. (2020), arXiv:1912.05671, section 2, with the chord in the place of the mean of the ends as
    in Entezari et al. (2022), arXiv:2110.06296, definition 3.1.
    """
    chord = values[0] + fractions * (values[-1] - values[0])
    chord[-1] = values[-1]
    return float((values - chord).max())


def layer_barriers(
    loss_at: LossAt, start: Mapping[str, Tensor], end: Mapping[str, Tensor], *, points: int = 21,
    statistics: str = AUTOMATIC,
) -> Iterator[tuple[str, float]]:  # fmt: skip
    """The barrier where only one layer goes from ``start`` to ``end``, the others being those of ``end``.

    That is the barrier between ``end`` and a copy of it that has one layer of ``start``, along their own chord: mostly
    0, also where that copy is useless. Exchanging the two models gives other numbers. A layer is a module with
    parameters of its own. See `path`.

    Source: after Adilova et al. (2024), Layer-wise linear mode connectivity, arXiv:2307.06966, section 3.
    """
    check_alike(start, end)
    layers: dict[str, list[str]] = {}
    for name in end:
        layers.setdefault(layer_of(name), []).append(name)
    for layer, names in layers.items():
        begin = {**end, **{name: start[name] for name in names}}
        found = path(loss_at, begin, end, points=points, statistics=statistics)
        yield layer, barrier(found.fractions, found.loss)


def default_statistics(model: nn.Module) -> str:
    """Re-estimated where the model has running statistics, which belong to no point between two models."""
    running = any(isinstance(m, Normalisation) and m.running_mean is not None for m in model.modules())
    return "reestimated" if running else "frozen"


def whole_params(loss_at: LossAt, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those given that are the model's, and those of the model that are not among them, detached."""
    own = {loss_at.prefix + name: param for name, param in loss_at.model.named_parameters()}
    known = {loss_at.prefix + name for name, _ in loss_at.model.named_parameters(remove_duplicate=False)}
    given = {name: param for name, param in params.items() if name in known}
    return {name: param.detach() for name, param in {**own, **given}.items()}


def other_params(loss_at: LossAt, params: Mapping[str, Tensor], other: Any) -> dict[str, Tensor]:
    """Parameters of another model of the same architecture, by the names, on the devices and in the dtypes of these.

    Args:
        loss_at: whose model tells which names are no parameters.
        params: all parameters, as from `whole_params`.
        other: a state dict, named parameters or a module.

    Raises:
        ValueError: it is none of these, or has other names or shapes.
    """
    if isinstance(other, nn.Module):
        other = other.state_dict()
    if not (isinstance(other, Mapping) and all(isinstance(tensor, Tensor) for tensor in other.values())):
        raise ValueError(f"other is a {type(other).__name__}; give a state dict or a module of the same architecture")
    named = {loss_at.prefix + name if loss_at.prefix + name in params else name: part for name, part in other.items()}
    spare = {loss_at.prefix + name for name in loss_at.model.state_dict()}  # buffers, and tied parameters' other names
    check_alike(params, {name: part for name, part in named.items() if name in params or name not in spare})
    return {name: named[name].detach().to(param) for name, param in params.items()}


def check_alike(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> None:
    """Refuse parameters of two architectures.

    Raises:
        ValueError: naming what differs.
    """
    for there, names in (("only the first has", _missing(start, end)), ("only the second has", _missing(end, start))):
        if names:
            raise ValueError(f"the two models are not of one architecture: {there} {', '.join(names[:SHOWN])}")
    for name, tensor in start.items():
        if tensor.shape != end[name].shape:
            shapes = f"{tuple(tensor.shape)} and {tuple(end[name].shape)}"
            raise ValueError(f"the two models are not of one architecture: {name} has the shapes {shapes}")


def _missing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Sequence[str]:
    return [name for name in one if name not in other]
