"""What makes a fork different from the run that it leaves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nbtoolkit.capture import contents
from nbtoolkit.errors import WatchError

RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # of a group: what it is, and what schedules go by
BASES = ("base_lrs", "max_lrs", "_last_lr")  # of a schedule


@dataclass(frozen=True)
class Changes:
    """Changes to a training between two steps; see `Run.fork`."""

    lr: Any = None
    seed: int | None = None
    perturb: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no number.

        Raises:
            WatchError: saying which.
        """
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0):
            raise WatchError(f"seed={self.seed!r}: expected a whole number, 0 or more.")
        if self.perturb is not None and not _is_finite(self.perturb):
            raise WatchError(f"perturb={self.perturb!r}: expected the size of the perturbation relative to |theta|.")

    @property
    def given(self) -> dict[str, Any]:
        """Those that are made, by name."""
        told = {"lr": self.lr, "seed": self.seed, "perturb": self.perturb}
        plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in told.items()}
        return {key: value for key, value in plain.items() if value is not None}

    def words(self) -> str:
        """All of them in one line, each after a space."""
        return "".join(f" {key}={value}" for key, value in self.given.items())

    def rates(self, optimizer: Optimizer) -> dict[int, float]:
        """The learning rate of every group that gets another.

        Raises:
            WatchError: no numbers, or not one for each group, or for a group that does not exist.
        """
        groups = len(optimizer.param_groups)
        if self.lr is None:
            return {}
        if isinstance(self.lr, Mapping):
            rates = dict(self.lr)
        elif isinstance(self.lr, Sequence) and not isinstance(self.lr, str):
            rates = dict(enumerate(self.lr))
            if len(rates) != groups:
                raise WatchError(f"lr={list(self.lr)} is for {len(rates)} groups; this optimizer has {groups}.")
        else:
            rates: dict[int, Any] = dict.fromkeys(range(groups), self.lr)
        unknown = [group for group in rates if group not in range(groups)]
        if unknown:
            raise WatchError(f"lr names group {unknown[0]!r}; this optimizer has the groups 0 to {groups - 1}.")
        wrong = [rate for rate in rates.values() if not _is_finite(rate) or rate < 0]
        if wrong:
            raise WatchError(f"lr={wrong[0]!r}: expected a learning rate, a finite number of 0 or more.")
        return rates

    def make(
        self, optimizer: Optimizer, params: Mapping[str, Tensor], generators: list[Any], found: Sequence[Any]
    ) -> None:
        """Make them.

        Args:
            optimizer: of the run.
            params: of the run.
            generators: of random numbers, besides the shared ones.
            found: objects among which may be the schedules of the learning rate.
        """
        if self.seed is not None:
            contents.reseed(generators, self.seed)
        if self.lr is not None:
            schedules = [one for one in found if isinstance(one, LRScheduler) and one.optimizer is optimizer]
            for group, rate in self.rates(optimizer).items():
                _set_rate(optimizer, group, rate, schedules)
        if self.perturb:
            perturb([tensor for tensor in params.values() if tensor.requires_grad], self.perturb, self.seed or 0)


@torch.no_grad()
def perturb(params: Sequence[Tensor], size: float, seed: int) -> None:
    """Move parameters by ``size * |theta|`` along a Gaussian direction, both over all of them, in place."""
    generator = torch.Generator().manual_seed(seed)
    direction = [torch.randn(tensor.shape, generator=generator, dtype=torch.float64) for tensor in params]
    length = math.sqrt(sum(float(part.square().sum()) for part in direction))
    theta = math.sqrt(sum(float(tensor.double().square().sum()) for tensor in params))
    for tensor, part in zip(params, direction, strict=True):
        moved = tensor.double().add_(part.to(tensor.device), alpha=size * theta / length if length else 0.0)
        tensor.copy_(moved)


def _set_rate(optimizer: Optimizer, place: int, rate: float, schedules: Sequence[LRScheduler]) -> None:
    """Give a group another rate; a schedule that drives it goes on from there, in proportion."""
    group = optimizer.param_groups[place]
    old = float(group["lr"])
    if schedules and not old:
        raise WatchError(f"lr: the schedule of group {place} is at 0 now, so that nothing is in proportion to it.")
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
    for key in RATES[1:]:
        if key in group and schedules:
            group[key] = group[key] * (rate / old)
    for schedule in schedules:
        for name in BASES:
            held = getattr(schedule, name, None)
            if isinstance(held, list) and place < len(held):
                held[place] = held[place] * (rate / old)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
