"""The runs of one trainer: one for each of its optimizers, from the beginning of a fit to its end."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from nbtoolkit.capture import Run, names, watch
from nbtoolkit.errors import LandscapeError, WatchError
from nbtoolkit.store.places import Place
from nbtoolkit.store.schema import DIMS

OF_THE_TRAINER = ("model", "optimizer", "step")  # which it knows itself
OPTIONS = tuple(name for name in inspect.signature(watch).parameters if name not in OF_THE_TRAINER)
LOGGED = "logged_"  # before the name of a logged value that an instrument or a dim has


class Fits:
    """The runs that a callback begins and ends.

    Args:
        show: the panels that are open at first in the live Board of a notebook; None for the usual ones, False for
            no Board.
        options: of `watch`.

    Raises:
        WatchError: `watch` has no such option.
    """

    def __init__(self, show: bool | Sequence[str] | None, options: Mapping[str, Any]) -> None:
        unknown = [name for name in options if name not in OPTIONS]
        if unknown:
            raise WatchError(f"LandscapeCallback got {unknown[0]}=...; it takes show and {', '.join(OPTIONS)}.")
        self.show, self.options = show, dict(options)
        self.runs: list[Run] = []

    @property
    def steps(self) -> list[int]:
        """The steps that each optimizer has made."""
        return [run.step for run in self.runs]

    def begin(
        self, model: nn.Module, optimizers: Sequence[Optimizer], steps: Sequence[int], ending: Callable[[], bool]
    ) -> None:
        """Begin a run for every optimizer that trains the model.

        Args:
            model: that is trained.
            optimizers: of the trainer.
            steps: that each has made before.
            ending: lets the trainer end in its own way, if it can now.

        Raises:
            LandscapeError: an option is not what it should be, or the store exists.
        """
        self.end("failed")
        self.runs = []
        name = self.options.get("name") or type(names.unwrapped(model)).__name__
        labels = _labels(name, [names.innermost(one) for one in optimizers], model)
        try:
            for place, (optimizer, step, label) in enumerate(zip(optimizers, steps, labels, strict=True)):
                own: dict[str, Any] = {"name": label, "step": step}
                if place and self.options.get("store") is not None:
                    own["store"] = str(Place(self.options["store"]).numbered(place + 1))
                run = watch(model, optimizer, **{**self.options, **own})
                run.control.ending = ending
                self.runs.append(run)
        except BaseException:
            self.end("failed")
            raise
        for run in self.runs:
            self._show(run)

    def end(self, state: str) -> None:
        """End those that go on."""
        for run in self.runs:
            run.detach(state)

    def log(self, values: Mapping[str, Any], optimizer: Optimizer | None = None) -> None:
        """Record what a trainer logs, at the step of every run, or of that of one optimizer; never raises."""
        for run in self.runs:
            if run.state != "watching" or run.steps is None:
                continue
            if optimizer is not None and run.steps.loop.optimizer is not names.innermost(optimizer):
                continue
            for key, value in values.items():
                try:
                    run.log(**{_word(key, run): value})
                except LandscapeError as error:  # text, a picture
                    run.note(f"{key} is logged, but cannot be recorded: {error}")

    def _show(self, run: Run) -> None:
        ranks = getattr(run, "ranks", None)
        if self.show is False or not _in_notebook() or (ranks is not None and not ranks.writes):
            return
        from nbtoolkit.widget import show

        show(run, names=None if self.show in (None, True) else list(self.show))


def _word(key: str, run: Run) -> str:
    """The name of a logged value as one that a variable may have."""
    word = "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in key)
    word = word if word.isidentifier() else f"_{word}"
    return LOGGED + word if word in DIMS or word in run.instruments else word


def _labels(name: str, optimizers: Sequence[Optimizer], model: nn.Module) -> list[str]:
    """A name for the run of each optimizer: where there are several, with the part of the model that it trains."""
    if len(optimizers) == 1:
        return [name]
    parts = [{key.split(".")[0] for key in names.named(one, {"": model})} for one in optimizers]
    told = [f"{name}.{next(iter(part))}" if len(part) == 1 else name for part in parts]
    return [label if told.count(label) == 1 else f"{label}-{place + 1}" for place, label in enumerate(told)]


def _in_notebook() -> bool:
    """Whether a kernel runs this; without loading what draws."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")
