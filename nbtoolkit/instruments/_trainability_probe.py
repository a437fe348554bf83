"""How well the model can still learn something new."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._models import count
from nbtoolkit.instruments._probe import leaves, shuffled
from nbtoolkit.numerics import random_targets
from nbtoolkit.numerics.given import is_finite, is_seed, is_whole, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.random_targets import OPTIMIZERS, Trained
from nbtoolkit.numerics.statistics import with_statistics

NO_BEGINNING = Unknown("the parameters have other names or shapes than when watching began")
NO_RATIO = Unknown("the loss from the beginning has reached 0, so that nothing can be compared with it")


@instrument(
    outputs={
        "ratio": Var((), "1", "ratio of losses on random targets", line=1.0),
        "probe_accuracy": Var((), "1", "accuracy on random targets, now"),
        "fresh_accuracy": Var((), "1", "accuracy on random targets, start"),
        "probe_loss": Var(("probe_step",), "loss", "loss on random targets, now"),
        "fresh_loss": Var(("probe_step",), "loss", "loss on random targets, start"),
    },
    cost=lambda s: 2 * (3 * count(s, "steps") + 1),
    every=500,
    labels={"probe_step": lambda s: range(1 + (int(s["steps"]) if is_whole(s["steps"], 1) else 0))},
    reference="Lyle et al. (2023), arXiv:2303.01486 (plasticity as the loss reached on new random targets)",
)
def trainability_probe(
    loss_at: LossAt, params: Mapping[str, Tensor], initial_params: Mapping[str, Tensor], memory: dict[str, Any], /, *,
    steps: int = 50, lr: float = 1e-3, examples: int = 256, optimizer: str = "adam", seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Loss of a copy of the model while it learns random classes for the probe's inputs, with a fresh optimizer.

    ``probe_loss``: the cross-entropy before the first of ``steps`` steps and after each, from the present parameters;
    ``fresh_loss``: the same from those when watching began. ``ratio`` of the last values: 1 at the beginning, above 1
    where the model has become harder to train. The accuracies are those after the last step. The classes are as many
    as the model has outputs, and always the same, drawn by ``seed`` like the ``examples`` of the probe they are for;
    every step is made on all of these. ``optimizer`` is "adam" or "sgd", at the learning rate ``lr``.

    In eval mode, without dropout; normalisation layers with running statistics use those of the examples, as in
    training. Parameters that the optimizer trains but that need no gradient stay as they are.

    Raises:
        ValueError: the probe cannot be cut into examples, or the outputs are no scores of two or more classes.
    """
    _check(steps, lr, examples, optimizer, seed)
    inputs, true = shuffled(loss_at, int(examples), int(seed))
    alone = with_statistics(loss_at.with_probe([(inputs, true)]), "reestimated")
    outputs = alone.outputs((inputs, true), params).detach()
    targets, dim = random_targets.draw(outputs, alone.targets((inputs, true), params), int(seed))

    def learned(start: Mapping[str, Tensor]) -> Trained:
        return random_targets.train(
            alone, leaves(loss_at, start), inputs, targets, dim, steps=int(steps), lr=float(lr), optimizer=optimizer
        )

    now = learned(params)
    found: dict[str, Any] = {"probe_loss": now.loss, "probe_accuracy": now.accuracy}
    if any(name not in initial_params or initial_params[name].shape != params[name].shape for name in params):
        return found | dict.fromkeys(("ratio", "fresh_loss", "fresh_accuracy"), NO_BEGINNING)
    if "fresh" not in memory:  # it is the same at every measurement
        memory["fresh"] = learned({name: initial_params[name] for name in params})
    fresh: Trained = memory["fresh"]
    ratio = now.loss[-1] / fresh.loss[-1] if bool(fresh.loss[-1] != 0) else NO_RATIO
    return found | {"ratio": ratio, "fresh_loss": fresh.loss.clone(), "fresh_accuracy": fresh.accuracy.clone()}


def _check(steps: Any, lr: Any, examples: Any, optimizer: Any, seed: Any) -> None:
    for name, value, least in (("steps", steps, 1), ("examples", examples, 1)):
        if not is_whole(value, least):
            raise ValueError(f"{name}={shown(value)}: expected a whole number of {least} or more")
    if not is_finite(lr) or lr <= 0:
        raise ValueError(f"lr={shown(lr)}: expected a number above 0")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer={shown(optimizer)}: expected one of {', '.join(map(repr, OPTIMIZERS))}")
    if not is_seed(seed):
        raise ValueError(f"seed={shown(seed)}: expected a whole number from 0 to below 2**64")
