"""What a loop gives where several processes train one model: whole tensors, and losses of the data of all."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nbtoolkit.capture import lockstep, shards
from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.ranks import Ranks
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument
from nbtoolkit.numerics.activations import entering
from nbtoolkit.numerics.curvature import GIVE_PROBE, Curvature
from nbtoolkit.numerics.eval_copy import EvalCopy
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.plain_copy import plain_copy
from nbtoolkit.numerics.tasks_at import TasksAt
from nbtoolkit.numerics.together import Together, shared_out
from nbtoolkit.numerics.trajectory import Passing, Trajectory

NO_GRAPH = f"the graph of a loss of sharded parameters has no second derivative; {GIVE_PROBE}"
NO_TERMS = "needs the gradients of terms by whole parameters, which sharded ones do not have in any process"
OWN_BATCH = "this process's part of the batch"
ALL_BATCHES = "the batches of all processes"
OWN_PROBE = "this process's probe, which is not that of the others"
ALL_PROBES = "the probes of all processes, as parts of one"


class Whole:
    """The loop as an instrument sees it that all processes measure together.

    Args:
        loop: of this process, with ``ranks``.
    """

    def __init__(self, loop: Loop) -> None:
        assert loop.ranks is not None
        self.loop = loop
        self.ranks: Ranks = loop.ranks
        self.together = lockstep.of(self.ranks)
        self._all = Together(self.ranks.rank, self.ranks.count, self.together.total)
        self._shared: dict[int, tuple[LossAt, Together | None]] = {}  # how each probe is shared out
        self._gathered: dict[str, dict[str, Any]] = {}
        self._losses: dict[int, tuple[LossAt, LossAt]] = {}
        self._curvature: Curvature | None = None

    def __getattr__(self, name: str) -> Any:
        """What is the same for one process and for many."""
        return getattr(self.loop, name)

    @property
    def spread(self) -> bool:
        """Whether processes hold tensors together."""
        return self.loop.holding.spread

    def let_go(self) -> None:
        """Let go of what was gathered: the parameters may change now."""
        for probe, twin in self._losses.values():
            probe.transformable = twin.transformable
        self._gathered, self._losses, self._curvature = {}, {}, None

    # -- needs of instruments --------------------------------------------------------------

    def params(self) -> dict[str, Tensor]:
        """Whole parameters before the step."""
        loop = self.loop
        if not self.spread:
            return loop.params()
        return self._once("params", lambda: loop.holding.params() if loop._before is None else loop._before)

    def initial_params(self) -> dict[str, Tensor]:
        """Whole parameters as they were when each was first seen."""
        if not self.spread:
            return self.loop.initial_params()
        return self._once("initial_params", lambda: self.loop._initial)

    def grads(self) -> dict[str, Tensor | None]:
        """Whole gradients."""
        loop = self.loop
        if not self.spread:
            return loop.grads()
        return self._once("grads", lambda: loop._grads_now() if loop._grads is None else loop._grads)

    def updates(self) -> dict[str, Tensor | None]:
        """Whole parameters after the step minus before."""
        found = self.loop.updates()
        return self._once("updates", lambda: self.loop._updates) if self.spread else found

    def optimizer_state(self) -> dict[str, Any]:
        """Kind, hyperparameters, and whole state, of the optimizer."""
        known = self.loop.optimizer_state()
        if not self.spread:
            return known
        kinds = sorted({kind for state in known["state"].values() for kind in state})
        found: dict[str, dict[str, Any]] = {name: {} for name in known["state"]}
        for kind in kinds:
            parts = {name: state[kind] for name, state in known["state"].items() if kind in state}
            for name, value in self._once(f"state {kind}", lambda parts=parts: parts, local=False).items():
                found[name][kind] = value
        return {**known, "state": found}

    def loss_at(self) -> LossAt:
        """The probe's loss, to be summed over processes, on a model like that of one process."""
        return self._joint(self.loop.loss_at())

    def loss_at_or_none(self) -> LossAt | None:
        """The same, where there is a probe."""
        return None if self.loop.probe is None else self.loss_at()

    def curvature(self) -> Curvature:
        """Curvature of the loss of all processes."""
        if self._curvature is None:
            tensors = self.loop.tensors
            if self.loop.probe is not None:
                loss, params = self.loss_at(), self.params()
                at = {name: params[name].detach().requires_grad_(t.requires_grad) for name, t in tensors.items()}
                self._curvature = Curvature(at, loss)
            elif self.spread:
                raise WatchError(NO_GRAPH)
            else:
                self._curvature = Curvature(tensors, self.loop.live_loss(), self._all)
        return self._curvature

    def trajectory(self) -> Trajectory:
        """Whole copies of the parameters along the way."""
        return Passing(self.loop._passed, self.loop.current_step, self.params)

    def tasks(self) -> TasksAt:
        """Accuracy and loss on every task, on a model like that of one process."""
        tasks = self.loop.tasks()
        if self.spread:
            tasks = copy.copy(tasks)
            tasks.model = self._alone(tasks.model)
            tasks._copy = EvalCopy(tasks.model)
        return tasks

    def activations(self) -> dict[str, Tensor | None]:
        """Hidden units: on the probe, else in this step's forward pass of this process."""
        if self.loop.probe is None:
            return self.loop.activations()
        return entering(self.loss_at(), self.params(), self.loop.layers())

    def term_grads(self) -> dict[str, Any]:
        """Gradients of the terms in this process."""
        if self.spread:
            raise WatchError(NO_TERMS)
        return self.loop.term_grads()

    def data_of(self, instrument: Instrument) -> str:
        """Whose data it was measured on, where that is not the same as for one process; else empty."""
        needs, probe = {*instrument.needs}, self.loop.probe
        if probe is None and "curvature" in needs:
            return ALL_BATCHES
        if {"live_loss", "term_grads"} & needs or ("activations" in needs and probe is None):
            return OWN_BATCH
        how = None if probe is None else self._shared.get(id(probe), (probe, None))[1]
        if how is None or how.alike or not {"curvature", "loss_at", "loss_at_or_none", "activations"} & needs:
            return ""
        return ALL_PROBES if "curvature" in needs else OWN_PROBE

    # -- how it is made --------------------------------------------------------------------

    def _once(self, what: str, held: Callable[[], Any], *, local: bool = True) -> dict[str, Any]:
        """Whole tensors, gathered once for all that is measured now.

        Args:
            what: they are.
            held: by name, what this process holds of them.
            local: whether these are the local parts of tensors that are spread as the parameters are.
        """
        if what not in self._gathered:
            known = held()
            spread = {name: part for name, part in known.items() if isinstance(part, Tensor)}
            spread = self.loop.holding.spread_out(spread) if local else spread
            apart = [tensor for tensor in spread.values() if shards.is_distributed(tensor)]
            size = sum(tensor.numel() * tensor.element_size() for tensor in apart)
            if apart:  # where there is no room for it, that is said before the others wait
                torch.empty(size, dtype=torch.uint8, device=apart[0].device)
            self.together.agree(size)
            whole = {name: shards.whole(tensor) for name, tensor in spread.items()}
            self._gathered[what] = {name: whole.get(name, part) for name, part in known.items()}
        return self._gathered[what]

    def _joint(self, probe: LossAt) -> LossAt:
        if id(probe) not in self._losses:
            if probe.function is None:
                probe.weighted()  # read once, for all copies
            twin = copy.copy(probe)
            twin.model = self._alone(probe.model)
            if id(probe) not in self._shared:
                self._shared[id(probe)] = probe, shared_out(twin, self.params(), self._all)
            twin.together = self._shared[id(probe)][1]
            self._losses[id(probe)] = probe, twin
        return self._losses[id(probe)][1]

    def _alone(self, model: nn.Module) -> nn.Module:
        """The model with whole parameters and the first process's buffers; itself, where it has these."""
        buffers = {name: buffer for name, buffer in model.named_buffers() if not shards.is_distributed(buffer)}
        if not (buffers or self.spread):
            return model
        first = self.ranks.rank == 0
        parts = [buffer.detach() if first else torch.zeros_like(buffer) for buffer in buffers.values()]
        parts = [part.byte() if part.dtype == torch.bool else part for part in parts]
        whole = self.together.total(parts) if parts else []
        known = {name: part.to(buffers[name].dtype) for name, part in zip(buffers, whole, strict=True)}
        own = self.params() if self.spread else {}
        rest = {name: param for name, param in model.named_parameters() if name not in own}
        others = self._once(f"others {id(model)}", lambda: rest, local=False) if self.spread else {}
        return plain_copy(model, {**own, **others}, known)


def of(loop: Loop) -> Whole:
    """The loop as all processes see it together."""
    held = vars(loop)
    if "whole" not in held:
        held["whole"] = Whole(loop)
    return held["whole"]
