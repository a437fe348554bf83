"""The contract of an instrument: a pure function, declared with its outputs, cost and cadence."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from nbtoolkit.errors import InstrumentError
from nbtoolkit.store.schema import DIMS, Var, check_companions

__all__ = ["NEEDS", "Instrument", "Unknown", "Var", "instrument"]

NEEDS = {
    "params": "dict of name -> parameter before the step",
    "initial_params": "dict of name -> copy of the parameter when watching began",
    "grads": "dict of name -> gradient that the optimizer uses, or None",
    "updates": "dict of name -> parameter after the step minus before",
    "layers": "list of the modules with trained parameters of their own: the labels of the dim layer",
    "loss": "0-d tensor whose gradient this step follows",
    "loss_terms": "dict of name -> 0-d tensor, the additive parts of the loss",
    "lr": "list with the learning rate of each parameter group in this step",
    "momentum": "list with the momentum (or beta1) of each parameter group",
    "optimizer_state": "dict of kind, groups (hyperparameters) and state (by parameter name) of the optimizer",
    "curvature": "Hessian and other curvature of the probe's loss if there is a probe, else of this step's loss",
    "live_loss": "0-d loss of this step with its graph, before backward() has used it up",
    "loss_at": "the probe's loss as a pure function of a dict of parameters",
    "memory": "dict of the instrument's own, empty at first, kept between its measurements in one run",
    "trajectory": "copies of the parameters at the steps at which this was looked at, thinned; the newest is now",
    "loss_at_or_none": "loss_at, or None where no probe was given",
    "activations": "dict of layer -> hidden units that enter it: on the probe, else in this step's forward; or None",
    "term_grads": "dict of loss term -> dict of name -> gradient of that term alone, or None",
    "tasks": "accuracy and loss on every task of the stream as functions of the parameters, and what was trained",
    "forks": "dict of fork -> dict of its parameters at this step of the run, or None where no copy was kept",
    "clock": "dict of seconds since this was last asked: steps, seconds, measuring",
}

COMBINE = ("mean", "norm", "sum", "max", "min")

Outputs = dict[str, Any]


@dataclass(frozen=True)
class Unknown:
    """In place of an output that has no value at this step, or not at all places: stored as NaN, and why.

    Args:
        reason: stored with the output.
        known: what it has a value for, NaN elsewhere; None where it has none.
    """

    reason: str
    known: Any = None


@dataclass(frozen=True, eq=False)
class Instrument:
    """One measured quantity: a pure function with a declaration. Made by `instrument`.

    Call it to measure (``grad_norm(grads)``), derive a new value with `using`, attach it with
    ``watch(..., instruments=[...])``.
    """

    function: Callable[..., Outputs | Iterator[Outputs]]
    name: str
    outputs: Mapping[str, Var]
    needs: tuple[str, ...]
    settings: Mapping[str, Any]
    cost: Callable[[Mapping[str, Any]], float] | None
    every: int
    reference: str
    derive: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]] | None = None
    labels: Mapping[str, Callable[[Mapping[str, Any]], Sequence[Any]]] = field(default_factory=dict)
    follow: Callable[..., None] | None = None
    dense: Callable[[Mapping[str, Any]], int] | None = None
    at_boundaries: bool = False
    doc: str = ""
    combine: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *needs: Any, **settings: Any) -> dict[str, np.ndarray]:
        """Measure now: the declared outputs as NumPy arrays, the derived ones included."""
        measured = {key: on_host(value)[None] for key, value in self.measure(*needs, **settings).items()}
        return {key: value[0] for key, value in self.finish(measured).items()}

    def measure(self, *needs: Any, **settings: Any) -> Outputs:
        """The function's own outputs, left on their device; the last of one that yields."""
        *_, outputs = self.stages(*needs, **settings)
        return outputs

    def stages(self, *needs: Any, **settings: Any) -> Iterator[Outputs]:
        """The outputs as they get better; one stage where the function returns instead of yielding."""
        merged = {**self.settings, **self._checked(settings)} if settings else self.settings
        outputs: Any = self.function(*needs, **merged)
        if self.progressive:
            yield from outputs
        else:
            yield outputs

    @property
    def progressive(self) -> bool:
        """Whether the function yields ever better outputs."""
        return inspect.isgeneratorfunction(self.function)

    def finish(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The declared outputs, from what `measure` gave, as rows ``(rows, ...)`` on the host.

        Where the loop gave nothing, rows are masked (`numpy.ma`); a masked result is NaN.
        """
        complete = dict(rows) if self.derive is None else {**rows, **self.derive(rows)}
        return {key: np.ma.filled(complete[key], np.nan) for key in self.outputs}

    def using(self, *, every: int | None = None, name: str | None = None, **settings: Any) -> "Instrument":
        """The same instrument at another cadence or with other settings; this one is unchanged.

        With another ``name``, a run can have both.
        """
        if name is not None and not (isinstance(name, str) and name.isidentifier()):
            raise InstrumentError(f"{self.name}: name={str(name)[:40]!r}, expected letters, digits and '_'.")
        every = self.every if every is None else every
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InstrumentError(f"{self.name}: every={str(every)[:40]}, expected a whole number of steps, 1 or more.")
        merged = MappingProxyType({**self.settings, **self._checked(settings)})
        return replace(self, every=every, settings=merged, name=name or self.name)

    def forward_passes(self) -> float:
        """Declared cost of one measurement in forward passes of one batch; NaN where none is declared."""
        return float("nan") if self.cost is None else float(self.cost(self.settings))

    def attrs(self) -> dict[str, Any]:
        """The declaration as attributes of the instrument's group in a run."""
        return {
            "definition": self.doc,
            "reference": self.reference,
            "every": self.every,
            "forward_passes": self.forward_passes(),
            "settings": {key: _plain(value) for key, value in self.settings.items()},
        }

    def _checked(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        unknown = [key for key in settings if key not in self.settings]
        if unknown:
            known = ", ".join(self.settings) or "none"
            raise InstrumentError(f"{self.name} has no setting {unknown[0]!r}; its settings are: {known}.")
        return settings


def instrument(
    *,
    outputs: Mapping[str, Var],
    cost: Callable[[Mapping[str, Any]], float] | None = None,
    every: int = 1,
    reference: str = "",
    derive: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]] | None = None,
    labels: Mapping[str, Callable[[Mapping[str, Any]], Sequence[Any]]] | None = None,
    follow: Callable[..., None] | None = None,
    dense: Callable[[Mapping[str, Any]], int] | None = None,
    at_boundaries: bool = False,
    combine: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Outputs | Iterator[Outputs]]], Instrument]:
    """Declare a function as an instrument.

    The parameters before ``/`` are what it needs of the loop (the keys of `NEEDS`); after ``*``
    come settings, each with a default. The function returns its outputs by name: 0-d tensors,
    numbers, tensors with the declared dims, or for one dim a list with an entry per label (None
    where there is nothing to measure); `Unknown` where there is no value, and why. One that yields
    gives its outputs in stages, ever more complete; each is shown, the last is kept, and an
    interrupt keeps the one before it. It must not
    change what it is given, and on the GPU it must not synchronise unless it declares a cost.

    Args:
        outputs: what is measured, by name.
        cost: from the settings to the cost of one measurement in forward passes of one batch. What
            declares 0 is measured at its cadence; the rest is measured less often where it would
            break the run's budget.
        every: optimizer steps between measurements.
        reference: where the quantity is defined.
        derive: from measured rows (NumPy, first axis the rows, masked where the loop gave nothing)
            to further declared outputs; it runs when values reach the host, and so costs the
            training step nothing. The function may return parts for it that are not declared and
            not kept.
        labels: for a dim that the settings spread out (radii, batch sizes): from the settings to its labels.
        follow: ``follow(params, memory, **settings)`` is called before every step, so that something can be gathered
            in ``memory`` between measurements; it must be cheap and must not synchronise.
        dense: from the settings to the steps after a task boundary in which it is measured at every step, outside
            the budget.
        at_boundaries: it is measured when a task begins or ends, and at no other time.
        combine: how what the function returns makes one value where several processes train one model, by output,
            also of those that are not declared: ``"mean"`` where the data are shared out; ``"norm"`` (root of the sum
            of squares), ``"sum"``, ``"max"`` or ``"min"`` where the parameters are. With it the instrument is given
            the local shards of parameters; without it whole ones, gathered. What has no word is taken from the
            first process.

    Raises:
        InstrumentError: a need is not in `NEEDS`, a setting has no default, or nothing is declared.
    """

    def declare(function: Callable[..., Outputs | Iterator[Outputs]]) -> Instrument:
        name = function.__name__
        needs, settings = _signature(function)
        unknown = [need for need in needs if need not in NEEDS]
        if unknown:
            raise InstrumentError(
                f"{name} asks the training loop for {', '.join(unknown)}, which it cannot give. "
                f"It gives: {', '.join(NEEDS)}."
            )
        if not needs or not outputs:
            raise InstrumentError(
                f"{name} declares {len(needs)} needs and {len(outputs)} outputs; it must have at least one "
                "of each, the needs as parameters before '/'."
            )
        doubled = [key for key in outputs if key in DIMS or not key.isidentifier()]
        if doubled:
            raise InstrumentError(
                f"{name} declares an output {doubled[0]!r}; use letters, digits and '_', and no name of a dim."
            )
        if follow is not None and "memory" not in needs:
            raise InstrumentError(f"{name} follows the steps but does not need 'memory', where it could keep anything.")
        wrong = [word for word in (combine or {}).values() if word not in COMBINE]
        if wrong:
            raise InstrumentError(f"{name} combines by {wrong[0]!r}; it can be {', '.join(COMBINE)}.")
        check_companions(outputs)
        doc = inspect.getdoc(function) or ""
        plain = Instrument(
            function, name, MappingProxyType(dict(outputs)), needs, MappingProxyType(settings), cost, every,
            reference, derive, MappingProxyType(dict(labels or {})), follow, dense, at_boundaries, doc,
            MappingProxyType(dict(combine or {})),
        )  # fmt: skip
        return plain.using(every=every)

    return declare


def _signature(function: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    needs, settings = [], {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            needs.append(parameter.name)
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty:
            settings[parameter.name] = parameter.default
        else:
            raise InstrumentError(
                f"{function.__name__}: parameter {parameter.name!r} is neither a need (before '/') nor a "
                "setting with a default (after '*')."
            )
    return tuple(needs), settings


def _plain(setting: Any) -> Any:
    """A setting as it can be stored: of parameters or a model only what they are."""
    if isinstance(setting, (torch.Tensor, torch.nn.Module)):
        return type(setting).__name__
    if isinstance(setting, Mapping) and any(isinstance(value, torch.Tensor) for value in setting.values()):
        return f"{len(setting)} tensors"
    return setting.item() if isinstance(setting, np.generic) else setting


def on_host(value: Any) -> np.ndarray:
    """A measured value as float64 on the host; this waits for the device."""
    value = value.known if isinstance(value, Unknown) else value
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", torch.float64).numpy()
    if isinstance(value, Sequence):
        values = np.asarray([np.nan if item is None else float(item) for item in value])
        mask = [item is None for item in value]
        return np.ma.masked_array(values, mask) if any(mask) else values
    return np.asarray(np.nan if value is None else value, dtype=np.float64)
