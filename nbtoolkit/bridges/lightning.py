"""Watch ``Trainer.fit`` of Lightning, as the package ``lightning`` or ``pytorch_lightning``."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from nbtoolkit.bridges._extras import installed
from nbtoolkit.bridges._fits import Fits
from nbtoolkit.capture import Run
from nbtoolkit.capture.status import ended_by
from nbtoolkit.errors import LandscapeError

HOMES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}
KEPT = "nbtoolkit.LandscapeCallback"  # in a checkpoint


def _bases() -> tuple[type, ...]:
    """The callbacks of the package that is in use; of both, where both are."""
    homes = [HOMES[name] for name in installed("lightning", *HOMES)]
    used = [home for home in homes if home in sys.modules] or homes[:1]
    return tuple(import_module(home).Callback for home in used)


class LandscapeCallback(*_bases()):
    """Watches every fit of a Lightning ``Trainer``: one run for each optimizer.

    ``Trainer(callbacks=[LandscapeCallback(store="run.zarr")])``. In a notebook a live Board is shown. What the module
    logs (``trainer.logged_metrics``) is recorded too: what ``training_step`` logs at the step that it leads to, all
    else at the optimizer steps done; a name that an instrument has gets ``logged_`` before it. A fit that goes on from
    a checkpoint goes on along the step axis, and in the same store. To stop the run ends the fit as early stopping
    does, or, where ``min_epochs`` or ``min_steps`` do not allow that, by `nbtoolkit.TrainingStopped`.

    Args:
        show: the panels that are open at first in a notebook's Board; None for the usual ones, False for no Board.
        options: of `nbtoolkit.watch`: instruments, loss, probe, tasks, budget, store, name. Of several optimizers the
            second writes to ``run-2.zarr``.

    Raises:
        WatchError: `nbtoolkit.watch` has no such option.
        LandscapeError: at the fit, the Trainer has a second one.
    """

    def __init__(self, *, show: bool | Sequence[str] | None = None, **options: Any) -> None:
        super().__init__()
        self._fits = Fits(show, options)
        self._seen: dict[str, Any] = {}
        self._restored: list[int] = []

    @property
    def runs(self) -> list[Run]:
        """The runs of the fit under way, or of the last one: one for each optimizer, in their order."""
        return list(self._fits.runs)

    @property
    def run(self) -> Run | None:
        """The run of the first optimizer; None before a fit."""
        return self._fits.runs[0] if self._fits.runs else None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """See that no other watches the same optimizers."""
        count = sum(isinstance(one, LandscapeCallback) for one in trainer.callbacks)
        if stage == "fit" and count > 1:
            raise LandscapeError(
                f"the Trainer has {count} LandscapeCallbacks; expected one: it watches every optimizer of the module. "
                "Give all options to it."
            )

    # Not as the state of a callback: of two with the same key Lightning speaks in words of its own, before `setup`.
    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Keep the steps of each optimizer."""
        checkpoint[KEPT] = {"steps": self._fits.steps}

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Go on from there in the next fit."""
        self._restored = [int(step) for step in checkpoint.get(KEPT, {}).get("steps", ())]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin."""
        own = {id(param) for param in pl_module.parameters()}
        optimizers = [one for one in trainer.optimizers if own & {id(p) for g in one.param_groups for p in g["params"]}]

        def ending() -> bool:
            trainer.should_stop = getattr(trainer.fit_loop, "_can_stop_early", True)
            return trainer.should_stop

        steps = self._steps(trainer.global_step, len(optimizers))
        self._seen = dict(trainer.logged_metrics)
        self._fits.begin(pl_module, optimizers, steps, ending)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Optimizer) -> None:
        """Record what ``training_step`` has logged, at the step about to be made."""
        if pl_module.automatic_optimization:
            self._log(trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Record it where the module makes the steps itself."""
        if not pl_module.automatic_optimization:
            self._log(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Record what was logged in validation."""
        if not trainer.sanity_checking:
            self._log(trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Record what was logged for the epoch before."""
        self._log(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End."""
        self._log(trainer)
        self._fits.end("finished")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End early."""
        self._fits.end(ended_by(exception))

    def _log(self, trainer: Any) -> None:
        """Record what is new; Lightning keeps the tensors of what was logged before."""
        if not self._fits.runs:
            return
        logged = dict(trainer.logged_metrics)
        fresh = {key: value for key, value in logged.items() if not _is_same(value, self._seen.get(key))}
        self._seen = logged
        self._fits.log(fresh)

    def _steps(self, done: int, optimizers: int) -> list[int]:
        """The steps that each optimizer has made before."""
        known, self._restored = self._restored or self._fits.steps, []
        if not done:
            return [0] * optimizers
        if len(known) == optimizers:
            return known
        return [done] if optimizers == 1 else [0] * optimizers


def _is_same(value: Tensor, seen: Tensor | None) -> bool:
    """Whether this is a view of what was seen, which is held, so that its memory is no other's."""
    return seen is not None and value.data_ptr() == seen.data_ptr()
