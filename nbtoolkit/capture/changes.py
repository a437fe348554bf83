"""What makes a fork different from the run that it leaves."""

import gc
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nbtoolkit.capture import contents
from nbtoolkit.capture.names import innermost
from nbtoolkit.errors import WatchError
from nbtoolkit.numerics.given import is_finite, is_seed, shown

RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # of a group: what it is, and what schedules go by
LAST = "last_epoch"  # of every schedule
BASES = ("base_lrs", "max_lrs", "_last_lr")  # of a schedule


@dataclass(frozen=True)
class Changes:
    """Changes to a training between two steps; see `Run.fork`."""

    lr: Any = None
    seed: int | None = None
    perturb: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no number; NumPy's become Python's, so that they can be stored.

        Raises:
            WatchError: saying which.
        """
        for name, value in vars(self).copy().items():
            object.__setattr__(self, name, _plain(value))
        if self.seed is not None and not is_seed(self.seed):
            raise WatchError(f"seed={shown(self.seed)}: expected a whole number from 0 to 2**64 - 1.")
        if self.perturb is not None and not is_finite(self.perturb):
            raise WatchError(
                f"perturb={shown(self.perturb)}: expected the size of the perturbation relative to |theta|."
            )

    @property
    def given(self) -> dict[str, Any]:
        """Those that are made, by name."""
        told = {"lr": self.lr, "seed": self.seed, "perturb": self.perturb}
        return {key: value for key, value in told.items() if value is not None}

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
                raise WatchError(f"lr={shown(list(self.lr))} is for {len(rates)} groups; this optimizer has {groups}.")
        else:
            rates: dict[int, Any] = dict.fromkeys(range(groups), self.lr)
        unknown = [group for group in rates if group not in range(groups)]
        if unknown:
            raise WatchError(f"lr names group {shown(unknown[0])}; this optimizer has the groups 0 to {groups - 1}.")
        for rate in rates.values():
            check_rate(rate)
        return rates

    def make(
        self,
        optimizer: Optimizer,
        params: Mapping[str, Tensor],
        generators: list[Any],
        schedules: Sequence[LRScheduler],
    ) -> None:
        """Make them.

        Args:
            optimizer: of the run.
            params: of the run.
            generators: of random numbers, besides the shared ones.
            schedules: of its learning rates.
        """
        if self.seed is not None:
            contents.reseed(generators, self.seed)
        if self.lr is not None:
            rates = self.rates(optimizer)
            _check_proportion(optimizer, rates, schedules)
            for group, rate in rates.items():
                _set_rate(optimizer, group, rate, schedules)
        if self.perturb:
            perturb([tensor for tensor in params.values() if tensor.requires_grad], self.perturb, self.seed or 0)


def schedules_of(optimizer: Optimizer) -> list[LRScheduler]:
    """The schedules of its learning rates, wherever they are held, also of a wrapper around it."""
    known: dict[int, LRScheduler] = {}
    for target in (optimizer, *_wrappers(optimizer)):
        found = [one for one in _holders(target, LAST) if issubclass(type(one), LRScheduler)]
        known |= {id(one): one for one in found if getattr(one, "optimizer", None) is target}
    return list(known.values())


def _wrappers(optimizer: Optimizer) -> list[Optimizer]:
    found = [one for one in _holders(optimizer, "optimizer") if issubclass(type(one), Optimizer)]
    return [one for one in found if one is not optimizer and innermost(one) is optimizer]


def _holders(thing: Any, mark: str) -> list[Any]:
    """What refers to ``thing``: a third of the time of looking through all objects."""
    holders = gc.get_referrers(thing)
    bare = [one for one in holders if type(one) is dict and one.get("optimizer") is thing and mark in one]
    # The attributes of an object, once somebody has asked for them as a dict.
    return holders + gc.get_referrers(*bare) if bare else holders


def check_rate(rate: Any) -> None:
    """Refuse what is no learning rate.

    Raises:
        WatchError: it is none.
    """
    if not is_finite(rate) or rate < 0:
        raise WatchError(f"lr={shown(rate)}: expected a learning rate, a finite number of 0 or more.")


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


def _check_proportion(optimizer: Optimizer, places: Iterable[int], schedules: Sequence[LRScheduler]) -> None:
    """Refuse what a schedule could not go on from, before any group is changed."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    still = [place for place in places if schedules and not rates[place]]
    if still:
        others = [place for place, rate in enumerate(rates) if rate]
        told = f"; set the others one by one, by their group: {', '.join(map(str, others))}" if others else ""
        raise WatchError(
            f"lr: the schedule of group {still[0]} is at 0 now, so that nothing is in proportion to it{told}."
        )


def _set_rate(optimizer: Optimizer, place: int, rate: float, schedules: Sequence[LRScheduler]) -> None:
    """Give a group another rate; a schedule that drives it goes on from there, in proportion."""
    group = optimizer.param_groups[place]
    old = float(group["lr"])
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


def _plain(value: Any) -> Any:
    """Python's own numbers in the place of NumPy's."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value
