"""Ways to begin watching: `watch` for what you name, `Discovery` for a cell that names nothing."""

import datetime
import warnings
import weakref
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from nbtoolkit.capture import agreement, alike, checks, listening, losses, names, ranks, shards, taps
from nbtoolkit.capture.exchange import Exchange
from nbtoolkit.capture.once import Subject
from nbtoolkit.capture.run import Run
from nbtoolkit.capture.schedule import Schedule
from nbtoolkit.capture.status import ended_by
from nbtoolkit.capture.steps import Steps
from nbtoolkit.errors import TrainingStopped, WatchError
from nbtoolkit.instruments import Instrument
from nbtoolkit.numerics.tasks import Tasks
from nbtoolkit.store.columns import Record
from nbtoolkit.store.places import Place

DEFAULT_BUDGET = 0.1
KEPT_LOSSES = 16  # of backward passes that no optimizer step has followed yet

runs_by_optimizer: "weakref.WeakKeyDictionary[Optimizer, weakref.ref[Run]]" = weakref.WeakKeyDictionary()


def watch(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    instruments: Sequence[Instrument] | None = None,
    loss: Callable[..., Tensor] | None = None,
    probe: Any = None,
    tasks: Tasks | Mapping[Any, Any] | None = None,
    budget: float = DEFAULT_BUDGET,
    store: str | Path | None = None,
    step: int = 0,
    commands: bool = False,
    name: str | None = None,
) -> Run:
    """Watch the steps of an optimizer from now on, without changing what it trains.

    Use the returned `Run` as it is, or as a context manager that detaches at the end::

        with nbtoolkit.watch(model, optimizer) as run:
            train()
        run["loss"]

    Args:
        model: gives the parameters their names.
        optimizer: whose ``step()`` is the step boundary. Watching it again ends the first watch.
        instruments: what to measure; by default `nbtoolkit.instruments.default()`.
        loss: ``loss(model(inputs), targets)``, the mean over the examples; for instruments that need the loss as a
            function of the parameters.
        probe: the data of that loss: one batch ``(inputs, targets)``, a DataLoader or list of batches (read once, kept
            in memory), or, without ``loss``, a function ``probe(model)`` that returns the loss.
        tasks: held-out data of the tasks of a stream by name, ``{"a": (inputs, targets), "b": loader}``, or
            `nbtoolkit.instruments.Tasks`, which also tells which outputs compete. Accuracy on all of them is then
            measured too; `Run.begin_task` and `Run.task` tell where a task begins.
        budget: largest share of training time that costly instruments may take together, kept by measuring less
            often; above 1 measuring may take longer than training, and ``float("inf")`` sets no limit.
        store: path of a new Zarr store, written while training runs; with ``step`` one that exists is continued.
        step: optimizer steps that were made before, in the part of the training that a checkpoint was saved after. The
            run begins there, and what the store has from there on, of a part that was lost, is removed.
        commands: whether those who may write beside the store may control the training: pause, learning rate, stop ...
            by what they append to ``X.commands`` beside ``X.zarr``, as ``open_run(path, follow=True)`` does.
        name: of the run; by default the model's class.

    Raises:
        WatchError: model and optimizer share no parameter, or an argument is not what it should be.
        StoreError: the store exists already or cannot be written.
    """
    optimizer = names.innermost(optimizer)
    names.check_shared(model, optimizer)
    return begin(
        optimizer, {"model": model}, instruments=instruments, loss=loss, probe=probe, tasks=tasks, budget=budget,
        store=store, step=step, commands=commands, name=name or shards.class_name(model),
    )  # fmt: skip


def begin(
    optimizer: Optimizer,
    models: Mapping[str, nn.Module],
    *,
    name: str,
    instruments: Sequence[Instrument] | None = None,
    loss: Callable[..., Tensor] | None = None,
    probe: Any = None,
    tasks: Tasks | Mapping[Any, Any] | None = None,
    budget: float = DEFAULT_BUDGET,
    store: str | Path | None = None,
    step: int = 0,
    commands: bool = False,
    attrs: Mapping[str, Any] | None = None,
) -> Run:
    """Start a run on ``optimizer``, whose tensors ``models`` name, with ``attrs`` in its record; see `watch`."""
    tasks = checks.tasks_of(tasks)
    chosen = checks.instruments_of(instruments, tasks)
    if not isinstance(budget, (int, float)) or not budget > 0:
        raise WatchError(
            f"budget={budget!r}: expected the share of training time for costly instruments, above 0: 0.1 is a tenth, "
            "2 lets measuring take twice as long as training."
        )
    listening.check(commands, store)
    facts = _facts(optimizer, models) | checks.beginning(step) | dict(attrs or {})
    subject = Subject(optimizer, models, loss, probe, tasks)
    loop = subject.loop()
    if tasks is not None:
        checks.labels(loop)
    terms = alike.Terms(chosen, probe=loop.probe is not None, budget=budget)
    found = ranks.find(optimizer, models, terms)
    try:
        chosen = terms.kept(found)
        subject.ranks = loop.ranks = found.ranks
        earlier = watching(optimizer)
        run = Run(name, Record(facts | found.facts), chosen, state="watching")
        if store is not None and found.writes:
            from nbtoolkit.store.files import Appender

            run.appender = Appender(store, run.record, run.collect, run.note, step)
        if earlier is not None:
            earlier.detach()
            run.note(f"this optimizer was already watched by {earlier.name!r}, which ended at step {earlier.step}")
            warnings.warn(
                f"nbtoolkit: {earlier.name!r} was watching this optimizer; it now ends with what it has measured.",
                stacklevel=3,
            )
        run.subject, run.ranks = subject, found.ranks
        if found.ranks is not None:
            run.exchange = Exchange(run, found.ranks)
        for text in found.notes:
            run.note(text)
        terms.tell(run)
        run.steps = Steps(run, loop, Schedule(chosen, loop, budget, run.draft, subject.memories))
        if step:
            run.steps.schedule.go_on_from(step)
            if later := checks.from_later(chosen, step):
                run.note(later)
        run.steps.attach()
        runs_by_optimizer[optimizer] = weakref.ref(run)
        listening.begin(run, store if commands else None)
        return run
    except BaseException as error:
        agreement.unbegun(found.ranks, error)
        raise


def watching(optimizer: Optimizer) -> Run | None:
    """The run that watches ``optimizer`` now, if one does."""
    known = runs_by_optimizer.get(optimizer)
    run = None if known is None else known()
    return run if run is not None and run.state == "watching" else None


class Discovery:
    """Watches every optimizer that steps inside a block; a run begins at its first step.

    Args:
        namespace: where models and optimizers may be found by name.
        started: told of every new run.
        late: gives further options of `watch` when a run begins, of what the block itself makes.
        besides: optimizers that are not meant.
        options: of `watch`: instruments, loss, probe, budget, store.
    """

    def __init__(
        self,
        namespace: Mapping[str, Any],
        started: Callable[[Run], None] = lambda run: None,
        late: Callable[[], Mapping[str, Any]] = dict,
        besides: Iterable[Optimizer] = (),
        **options: Any,
    ) -> None:
        self.namespace, self.options, self.started, self.late = namespace, options, started, late
        self.runs: list[Run] = []
        self.complaint = ""
        self._recent: list[Tensor] = []  # since the last step of any optimizer
        self._unclaimed: list[Tensor] = []  # of no run known so far
        self._scaled: list[tuple[Tensor, Tensor, Tensor]] = []
        self._known: weakref.WeakSet[Optimizer] = weakref.WeakSet(besides)
        self._others = True
        self._handle: Any = None

    def __enter__(self) -> Self:
        """Install the hook that sees every optimizer."""
        self._handle = register_optimizer_step_pre_hook(self._before_step)
        taps.add(self)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        """Remove it, and detach every run that began here."""
        self._handle.remove()
        taps.remove(self)
        for run in self.runs:
            run.detach(ended_by(error))
        taps.hide_frames(tb, last=isinstance(error, TrainingStopped | KeyboardInterrupt))

    def before_backward(self, losses: Sequence[Tensor]) -> None:
        """Nothing to do."""

    def after_backward(self, losses: Sequence[Tensor]) -> bool:
        """Claim nothing."""
        return False

    def backward_ended(self, losses: Sequence[Tensor], *, claimed: bool) -> None:
        """Keep the losses for the optimizer whose first step follows; what no run claims, for longer."""
        self._recent = [*self._recent, *losses][-KEPT_LOSSES:]
        if not claimed and self._others:
            self._unclaimed = [*self._unclaimed, *losses][-KEPT_LOSSES:]

    def gradients_zeroed(self, owner: Optimizer | nn.Module) -> None:
        """Forget the losses whose gradients were thrown away before a first step."""
        if not (self._recent or self._unclaimed) or owner in self._known:
            return
        held = names.held(owner) if isinstance(owner, Optimizer) else list(owner.parameters())
        own = {id(param) for param in held}
        self._recent = [loss for loss in self._recent if not own & losses.leaves(loss)]
        self._unclaimed = [loss for loss in self._unclaimed if not own & losses.leaves(loss)]

    def loss_scaled(self, loss: Tensor, scaled: Tensor, scale: Tensor) -> None:
        """Remember what a GradScaler did."""
        self._scaled = [(loss, scaled, scale)]

    def scaler_updated(self, stepped: Container[int]) -> None:
        """Nothing to do."""

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if taps.is_silent(self):
            return
        recent, self._recent = self._recent, []
        scaled, self._scaled = self._scaled, []
        if optimizer in self._known:
            return
        self._known.add(optimizer)
        earlier = watching(optimizer)
        if earlier is not None:
            self.complaint = f"this optimizer is being watched already, by {earlier.name!r}; its run goes on there."
            return
        try:
            models = names.models_of(optimizer, self.namespace)
            own = shards.reached_by(names.held(optimizer), models.values())
            seen = {id(loss): loss for loss in (*self._unclaimed, *recent) if own & losses.leaves(loss)}
            self._unclaimed = [loss for loss in self._unclaimed if id(loss) not in seen]
            self._others = names.any_optimizer_besides(self._known)
            self._begin(optimizer, models, list(seen.values()), scaled)
        except Exception as error:
            self.complaint = f"{type(optimizer).__name__} could not be watched: {error}"

    def _begin(
        self, optimizer: Optimizer, models: Mapping[str, nn.Module], seen: list[Tensor],
        scaled: list[tuple[Tensor, Tensor, Tensor]],
    ) -> None:  # fmt: skip
        options = {**self.options, **self.late()}
        if options.get("store") is not None and self.runs:
            options["store"] = Place(options["store"]).numbered(len(self.runs) + 1).target
        for earlier in self.runs:  # in a sweep, models that are done with are let go
            if earlier.steps is not None and earlier.steps.loop.gone:
                earlier.detach()
        run = begin(optimizer, models, name=self._name(optimizer), **options)
        self.runs.append(run)
        assert run.steps is not None
        for one in scaled:
            run.steps.loss_scaled(*one)
        run.steps.losses.after(seen)
        self.started(run)

    def _name(self, optimizer: Optimizer) -> str:
        name = names.variable_name(optimizer, self.namespace) or type(optimizer).__name__
        taken = {run.name for run in self.runs}
        return name if name not in taken else f"{name}-{len(taken) + 1}"


def _facts(optimizer: Optimizer, models: Mapping[str, nn.Module]) -> dict[str, Any]:
    """What the record says of the run as a whole."""
    held = names.held(optimizer)
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model": ", ".join(shards.class_name(model) for model in models.values()),
        "optimizer": type(optimizer).__name__,
        "maximize": " and ".join(sorted({str(bool(g.get("maximize"))) for g in optimizer.param_groups})),
        "parameters": sum(param.numel() for param in held),
        "device": ", ".join(sorted({str(param.device) for param in held})),
        "torch": torch.__version__,
    }
