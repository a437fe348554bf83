"""Accuracy on every task of a stream as a pure function of the parameters."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from nbtoolkit.numerics import random_states
from nbtoolkit.numerics.class_error import class_dim, wide
from nbtoolkit.numerics.eval_copy import EvalCopy
from nbtoolkit.numerics.global_states import GlobalStates
from nbtoolkit.numerics.loss_at import LossAt, _moved
from nbtoolkit.numerics.task_pieces import Piece, pieces, together
from nbtoolkit.numerics.tasks import Episode, Tasks


class TasksAt:
    """Accuracy on the held-out data of every task, at any parameters; the model itself is never touched.

    The model is called in eval mode: running statistics as they are, no dropout. What it writes in a forward pass goes
    into a copy; random states are as before afterwards; nothing is compiled. Its forward hooks run too, since they may
    be part of the function (masks, normalisation of weights): one that collects activations collects those of the
    evaluation as well, and has to tell them from the others by ``module.training``.

    Args:
        model: called with other parameters in place of its own.
        tasks: the data.
        loss: ``loss(outputs, targets)`` of a task, the mean over examples; cross-entropy by default.
        prefix: of the names of the parameters, to be taken off before the model sees them.
    """

    def __init__(
        self, model: nn.Module, tasks: Tasks, loss: Callable[..., Tensor] | None = None, prefix: str = ""
    ) -> None:
        self.model, self.tasks, self.prefix = model, tasks, prefix
        self.loss = F.cross_entropy if loss is None else loss
        self.episodes: list[Episode] = []
        self.step: int | None = None  # optimizer steps done, where a loop tells
        self._pieces: dict[tuple[int | None, torch.device, tuple[str, ...]], list[Piece]] = {}
        self._allowed: tuple[str, ...] = ()  # the tasks trained when the masks were made
        self._copy = EvalCopy(model)
        self._states = GlobalStates()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tasks."""
        return self.tasks.names

    @property
    def now(self) -> Episode | None:
        """What is being trained."""
        return self.episodes[-1] if self.episodes and self.episodes[-1].end is None else None

    @property
    def trained(self) -> tuple[str, ...]:
        """The tasks trained so far, the present one included."""
        return tuple(dict.fromkeys(episode.task for episode in self.episodes))

    def accuracy(
        self, params: Mapping[str, Tensor], examples: int | None = None, names: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor]:
        """How many examples of each task are classified rightly, and how many count.

        Args:
            params: by name, see `LossAt`.
            examples: of each task, the first in a fixed random order; all of them by default.
            names: of the tasks to be evaluated, in their order; all by default.

        Returns:
            Two vectors ``(tasks,)``, 0 for tasks that are not evaluated, on the device of the parameters. Where an
            output is NaN, the first is NaN.

        Raises:
            ValueError: the model's outputs are no scores of classes, or a label is outside them.
        """
        device = next(iter(params.values())).device
        right = count = torch.zeros(len(self.names), device=device)
        call = self._call(params)
        with self._undisturbed(device):
            for piece in self._ready(examples, device, self.names if names is None else tuple(names)):
                outputs = call(_moved(piece.inputs, params))
                targets = _moved(piece.targets, params)
                right = right + self._right(piece, outputs, targets)
                assert piece.counted is not None
                count = count + piece.counted
        return wide(right), wide(count)

    def check(self, params: Mapping[str, Tensor]) -> None:
        """See whether labels and classes of all tasks fit the model's outputs, by one pass of one example of each.

        Raises:
            ValueError: they do not.
        """
        device = next(iter(params.values())).device
        call = self._call(params)
        with self._undisturbed(device):
            for name in self.names:
                ((inputs, targets),) = self.tasks.subset(name, 1)
                outputs, targets = call(_moved(inputs, params)), _moved(targets, params)
                dim = class_dim(outputs, targets)
                if not isinstance(dim, int):
                    raise ValueError(f"no accuracy of task {name!r}: {dim}")
                for _, labels in self.tasks.batches[name]:
                    _check_labels(name, int(labels.max()), outputs.shape[dim])
                _check_classes(name, self.tasks.outputs_for(name, ()), outputs.shape[dim])

    def loss_at(self, name: str, examples: int | None = None) -> LossAt:
        """The loss on the data of one task as a function of the parameters, in eval mode.

        Args:
            name: of the task.
            examples: the first so many in a fixed random order; all by default.

        Raises:
            ValueError: there is no such task.
        """
        batches = self.tasks.subset(self.tasks.check(name), examples)
        allowed = self.tasks.outputs_for(name, self.trained)
        loss = self.loss

        def masked(outputs: Tensor, targets: Tensor) -> Tensor:
            mask = torch.full_like(outputs[:1], -torch.inf)
            mask[:, allowed] = 0
            return loss(outputs + mask, targets)

        return LossAt(self._copy.refreshed(), batches, loss if allowed is None else masked, self.prefix)

    # -- the model ----------------------------------------------------------------------------

    def _call(self, params: Mapping[str, Tensor]) -> Callable[[Any], Any]:
        """The model at these parameters as a function of inputs."""
        model = self._copy.refreshed()
        own, start, given, present = self._copy.own, len(self.prefix), {}, True
        for name, param in params.items():
            mine = own.get(name[start:]) if name.startswith(self.prefix) else None
            if mine is not None:
                given[name[start:]] = param
                present = present and mine.data_ptr() == param.data_ptr()
        for name in self._copy.buffers & given.keys():
            given[name] = given[name].detach().clone()  # a forward pass may write into buffers
        if params and not given:
            raise ValueError(f"none of the parameters given is the model's: {', '.join(list(params)[:3])}")

        def call(inputs: Any) -> Any:
            args: tuple[Any, ...] = () if isinstance(inputs, Mapping) else (inputs,)
            args = tuple(inputs) if isinstance(inputs, (tuple, list)) else args
            kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
            return model(*args, **kwargs) if present else functional_call(model, given, args, kwargs)

        return call

    @contextlib.contextmanager
    def _undisturbed(self, device: torch.device) -> Iterator[None]:
        """Without gradients, nothing compiled, and shared random states as they were: a model may draw in eval mode."""
        generators = random_states.shared(device)
        states = [generator.get_state() for generator in generators]
        eager = torch.compiler.set_stance("force_eager") if self._copy.compiled else contextlib.nullcontext()
        self._states.keep()
        try:
            with torch.no_grad(), eager:  # tensors of inference mode, kept by the model, would break its training
                yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                if not torch.equal(generator.get_state(), state):
                    generator.set_state(state)
            self._states.restore()

    # -- the data -----------------------------------------------------------------------------

    def _ready(self, count: int | None, device: torch.device, names: tuple[str, ...]) -> list[Piece]:
        """The pieces of tasks; of a subset on the device, those of one form together."""
        if self.tasks.scenario == "class" and self._allowed != self.trained:
            self._allowed = self.trained
            self._pieces = {}
        key = (count, device, names)
        if key not in self._pieces:
            each = [self.tasks.subset(name, count) if name in names else [] for name in self.names]
            found = pieces(each)
            self._pieces[key] = together(found) if count is not None else found
        return self._pieces[key]

    def _right(self, piece: Piece, outputs: Any, targets: Tensor) -> Tensor:
        """How many targets of each task are the largest allowed output, ``(tasks,)``; NaN where an output is."""
        if piece.owner is None or piece.form != outputs.shape:
            self._prepare(piece, outputs, targets)
        assert piece.owner is not None
        outputs = outputs.movedim(piece.dim, -1)
        broken: Any = None
        if outputs.is_cuda or outputs.sum().isnan():  # on the host one look spares the others
            broken = piece.owner @ outputs.isnan().any(-1).flatten().to(piece.owner)
        if piece.allowed is not None:
            outputs = outputs.masked_fill(~piece.allowed, -torch.inf)
        right = piece.owner @ (outputs.argmax(-1) == targets).flatten().to(piece.owner)
        return right if broken is None else right.masked_fill(broken > 0, torch.nan)

    def _prepare(self, piece: Piece, outputs: Tensor, targets: Tensor) -> None:
        """Check the labels of a piece; lay out whose its examples are, and which outputs compete."""
        dim = class_dim(outputs, targets)
        if not isinstance(dim, int):
            raise ValueError(f"no accuracy of task {self.names[piece.tasks[0][0]]!r}: {dim}")
        piece.form, piece.dim = outputs.shape, dim
        classes, each = outputs.shape[dim], targets[0].numel()
        owner = torch.zeros(len(self.names), targets.numel(), device=targets.device)
        allowed = torch.ones(*targets.shape, classes, dtype=torch.bool, device=targets.device)
        first = 0
        for place, length in piece.tasks:
            name = self.names[place]
            mine = slice(first, first + length)
            _check_labels(name, int(targets[mine].max()), classes)
            competing = self.tasks.outputs_for(name, self.trained)
            _check_classes(name, competing, classes)
            if competing is not None:
                allowed[mine] = False
                allowed[mine, ..., competing] = True
            owner[place, first * each : (first + length) * each] = (targets[mine].flatten() >= 0).float()
            first += length
        piece.owner, piece.counted = owner, owner.sum(1)
        piece.allowed = None if bool(allowed.all()) else allowed


def _check_labels(name: str, top: int, classes: int) -> None:
    if top >= classes:
        raise ValueError(f"task {name!r} has the label {top}, but the model has {classes} outputs, 0 to {classes - 1}")


def _check_classes(name: str, competing: Sequence[int] | None, classes: int) -> None:
    if competing and competing[-1] >= classes:
        raise ValueError(f"classes[{name!r}] has {competing[-1]}, but the model has {classes} outputs")
