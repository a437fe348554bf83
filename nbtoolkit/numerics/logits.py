"""The outputs of a classifier over many batches: their size, and how they stand to each other."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from nbtoolkit.numerics.class_error import class_dim, wide


class Scores(NamedTuple):
    """Scores of the classes ``(predictions, classes)`` and the true class of each, ``(predictions,)``."""

    outputs: Tensor
    targets: Tensor


def scores(outputs: Tensor, targets: Any) -> Scores | str:
    """The outputs whose target counts, one row for each prediction; or why these are no scores of classes.

    Args:
        outputs: ``(N, C, ...)`` or ``(N, ..., C)``.
        targets: classes ``(N, ...)``; negative ones do not count.
    """
    dim = class_dim(outputs, targets)
    if isinstance(dim, str):
        return dim
    counted = targets >= 0
    return Scores(outputs.movedim(dim, -1)[counted], targets[counted])


class Size:
    """Largest absolute value, mean and standard deviation of all numbers added."""

    def __init__(self) -> None:
        self.largest, self.mean, self._squares, self._count = 0.0, 0.0, 0.0, 0

    @property
    def spread(self) -> float:
        """Standard deviation."""
        return (self._squares / self._count) ** 0.5 if self._count else float("nan")

    def add(self, numbers: Tensor) -> None:
        """Take more, of any shape."""
        count = numbers.numel()
        if not count:
            return
        values = wide(numbers)
        mean = float(values.mean())
        ahead = mean - self.mean
        together = self._count + count
        # Of two sets: the squares about each one's own mean, and those of the means.
        self._squares += float((values - mean).square().sum()) + ahead**2 * self._count * count / together
        self.mean += ahead * count / together
        largest = float(values.abs().max())
        self.largest = largest if not largest <= self.largest else self.largest  # a NaN stays
        self._count = together


class Sides:
    """Margins, partition functions and confidences of predictions; NaN where a score is."""

    def __init__(self) -> None:
        self._margins: list[Tensor] = []
        self._partitions: list[Tensor] = []
        self._confidences: list[Tensor] = []

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(len(part) for part in self._margins)

    def add(self, scores: Scores) -> None:
        """Take more predictions."""
        values = wide(scores.outputs)
        true = scores.targets[:, None].long()
        others = values.scatter(1, true, -torch.inf)
        partition = values.logsumexp(1)
        self._margins.append(values.gather(1, true)[:, 0] - others.amax(1))
        self._partitions.append(partition)
        self._confidences.append(torch.exp(values.amax(1) - partition))

    def log_partition(self) -> float:
        """Mean of log sum_k exp(z_k)."""
        return float(torch.cat(self._partitions).mean())

    def confidence(self) -> float:
        """Mean probability of the most likely class."""
        return float(torch.cat(self._confidences).mean())

    def positive(self) -> float:
        """Share of margins above 0."""
        margins = torch.cat(self._margins)
        return float("nan") if bool(margins.isnan().any()) else float(wide(margins > 0).mean())

    def quantiles(self, shares: list[float]) -> list[float]:
        """Quantiles of the margins, linear between neighbours."""
        ordered = torch.cat(self._margins).sort().values
        if bool(ordered.isnan().any()):
            return [float("nan")] * len(shares)
        places = torch.tensor(shares, dtype=ordered.dtype, device=ordered.device) * (len(ordered) - 1)
        below = places.floor().long()
        above = (below + 1).clamp(max=len(ordered) - 1)
        return torch.lerp(ordered[below], ordered[above], places - below).tolist()
