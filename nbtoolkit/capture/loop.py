"""What a training loop gives to instruments: one method for each need of the contract."""

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nbtoolkit.capture import described, names, shards
from nbtoolkit.capture.copies import Copies
from nbtoolkit.capture.holding import Holding
from nbtoolkit.capture.stretch import Labels
from nbtoolkit.capture.terms import added, gradients
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument
from nbtoolkit.numerics import trees
from nbtoolkit.numerics.activations import entering
from nbtoolkit.numerics.curvature import GIVE_PROBE, Curvature
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.tasks_at import TasksAt
from nbtoolkit.numerics.trajectory import Passing, Trajectory

if TYPE_CHECKING:
    from nbtoolkit.capture.ranks import Ranks

NO_PROBE = (
    f"needs the loss as a function of the parameters, which the loop does not show; {GIVE_PROBE}, or --loss and --probe"
)
NO_TASKS = "needs the held-out data of the tasks; give watch(..., tasks={name: (inputs, targets), ...}), or --tasks"
NO_TERMS = "needs the terms of the loss; name them by run.log_terms(ce=..., decay=...) in every step"
NO_FORWARD = (
    "needs the hidden units, and no forward pass of the model was seen in this step (of compiled code none is); give a "
    "probe: "
    "watch(..., loss=F.cross_entropy, probe=(inputs, targets))"
)


class Loop:
    """One optimizer's loop at its present step.

    Args:
        optimizer: whose steps are watched.
        models: the models that give its tensors their names.
        probe: the loss on data of the user's choice, if given.
        passed: the copies of the parameters that the run has kept so far.
        forks: the copies of theirs that its forks have kept.
        tasks: what is known of the tasks of a stream.
    """

    def __init__(
        self, optimizer: Optimizer, models: Mapping[str, nn.Module], probe: LossAt | None = None,
        passed: Trajectory | None = None, forks: Mapping[str, Copies] | None = None, tasks: TasksAt | None = None,
    ) -> None:  # fmt: skip
        # Weak, so that an optimizer that the user has dropped can be seen to be gone.
        self._optimizer = weakref.ref(optimizer)
        self.models = dict(models)
        self.probe = probe
        self.tensors: dict[str, Tensor] = {}
        self.ranks: Ranks | None = None  # where several processes train together
        self.holding = Holding({})
        self.current_loss: Tensor | None = None
        self.current_live_loss: Tensor | None = None
        self.on_cuda = False
        self.version = 0  # grows when the labels of any dim change
        self.current_clock: dict[str, float] = {}
        self.current_step = 0
        self._passed = Trajectory() if passed is None else passed
        self._forks = {} if forks is None else forks
        self._tasks = tasks
        self.hidden: dict[str, Tensor | None] | None = None  # units seen in this step's forward pass
        self._term_grads: dict[str, Any] | Exception | None = None
        self._identity: list[int] = []
        self._initial: dict[str, Tensor] = {}
        self._remembered: list[int] = []  # the identity of the parameters of which copies are kept
        self._before: dict[str, Tensor] | None = None
        self._updates: dict[str, Tensor | None] | None = None
        self._grads: dict[str, Tensor | None] | None = None
        self._terms: dict[str, Any] = {}
        self._curvature: Curvature | None = None

    @property
    def gone(self) -> bool:
        """Whether the optimizer no longer exists, and so will never step again."""
        return self._optimizer() is None

    @property
    def optimizer(self) -> Optimizer:
        """Whose steps are watched."""
        optimizer = self._optimizer()
        if optimizer is None:
            raise WatchError("the optimizer that this run watched no longer exists.")
        return optimizer

    def held(self) -> list[Tensor]:
        """The tensors that the optimizer holds."""
        return names.held(self.optimizer)

    def begin(self, step: int, *, remember_initial: bool, keep_params: bool) -> None:
        """Start a step: see whether the parameters are still the same ones, keep what the step will change."""
        self.current_step = step
        identity = [id(tensor) for tensor in self.held()]
        if identity != self._identity:
            self._identity = identity
            self.tensors = names.named(self.optimizer, self.models)
            self.version += 1
            self.on_cuda = any(tensor.is_cuda for tensor in self.tensors.values())
            self.holding = Holding(self.tensors, first=self.ranks is None or self.ranks.rank == 0)
        if remember_initial and self._remembered != self._identity:
            self._remember_initial()
        if keep_params:
            self._before = trees.clone(self.holding.params())

    def keep_grads(self) -> None:
        """Keep the gradients for measurements after the step: some optimizers add to them in place."""
        grads = self._grads_now()
        self._grads = {**grads, **trees.clone({name: grad for name, grad in grads.items() if grad is not None})}

    def inherit(self, other: "Loop") -> None:
        """Count from where ``other`` began, of which this is a fork, and look at the same probe."""
        self._initial, self.probe = dict(other._initial), other.probe

    def end(self) -> None:
        """End a step: let go of everything that belonged to it, so that its memory is free for the next."""
        self.current_loss = self._term_grads = self.hidden = None
        self.let_go()
        self._grads = None
        if self._before is not None:
            self._before = self._updates = None
        if self._terms:
            self._terms = dict.fromkeys(self._terms)

    def let_go(self) -> None:
        """Keep no graph of the loss."""
        self.current_live_loss = self._curvature = None

    def set_terms(self, terms: Mapping[str, Any]) -> None:
        """Take the user's named parts of this step's loss."""
        self.version += not terms.keys() <= self._terms.keys()
        self._terms |= {key: term.detach().clone() if isinstance(term, Tensor) else term for key, term in terms.items()}

    def take_term_grads(self, terms: Mapping[str, Any]) -> None:
        """Take the gradients of the user's named parts of this step's loss."""
        if isinstance(self._term_grads, Exception):
            return
        held = names.named(self.optimizer, self.models)
        try:
            self._term_grads = added(self._term_grads or {}, gradients(terms, held))
        except Exception as error:
            self._term_grads = error

    def labels(self, instrument: Instrument) -> Labels:
        """Labels of the dims that the loop knows, for the outputs of an instrument."""
        known = {
            "param": tuple(self.tensors),
            "group": () if self.gone else tuple(range(len(self.optimizer.param_groups))),
            "layer": tuple(self.layers()),
            "term": tuple(self._terms),
            "fork": tuple(self._forks),
        }
        known |= {"layer_other": known["layer"], "term_other": known["term"]}
        if self._tasks is not None:
            known["task_evaluated"] = known["task_other"] = self._tasks.names
            known["task_trained"] = tuple(episode.label for episode in self._tasks.episodes)
        known |= {dim: tuple(of(instrument.settings)) for dim, of in instrument.labels.items()}
        dims = {dim for var in instrument.outputs.values() for dim in var.dims}
        return {dim: known[dim] for dim in known if dim in dims}

    def params(self) -> dict[str, Tensor]:
        """Parameters before the step, detached."""
        return self.holding.counted(self._before if self._before is not None else self.holding.params())

    def initial_params(self) -> dict[str, Tensor]:
        """Copies of the parameters when each was first seen."""
        return self.holding.counted(self._initial)

    def initial_spread(self) -> dict[str, Tensor]:
        """The same, as tensors that processes hold together, where they do."""
        return self.holding.spread_out(self._initial)

    def grads(self) -> dict[str, Tensor | None]:
        """Gradients as the optimizer will use them: unscaled also where a fused optimizer does that itself."""
        return self.holding.counted(self._grads if self._grads is not None else self._grads_now())

    def _grads_now(self) -> dict[str, Tensor | None]:
        grads = self.holding.grads()
        scale = getattr(self.optimizer, "grad_scale", None)
        if scale is None:
            return grads
        present = {name: grad for name, grad in grads.items() if grad is not None}
        unscaled = torch._foreach_mul(list(present.values()), 1.0 / scale)
        return {**grads, **dict(zip(present, unscaled, strict=True))}

    def updates(self) -> dict[str, Tensor | None]:
        """Parameters after the step minus before."""
        if self._updates is None:
            self._updates = trees.difference(self.holding.params(), self._before or {})
        return self.holding.counted(self._updates)

    def layers(self) -> list[str]:
        """The modules with trained parameters of their own."""
        return list(dict.fromkeys(trees.layer_of(name) for name, p in self.tensors.items() if p.requires_grad))

    def loss(self) -> Tensor | None:
        """Loss whose gradient the step follows."""
        return self.current_loss

    def loss_terms(self) -> dict[str, Any]:
        """Named additive parts of the loss, as the user gave them for this step; None where not given."""
        return self._terms

    def lr(self) -> list[Any]:
        """Learning rate of each group."""
        return described.learning_rates(self.optimizer)

    def momentum(self) -> list[Any]:
        """Momentum, or the first beta, of each group."""
        return described.momenta(self.optimizer)

    def optimizer_state(self) -> dict[str, Any]:
        """Kind, hyperparameters by group, and state by parameter name, of the optimizer."""
        return described.state(self.optimizer, self.tensors)

    def loss_at(self) -> LossAt:
        """The probe's loss as a function of the parameters."""
        if self.probe is None:
            raise WatchError(NO_PROBE)
        return self.probe

    def loss_at_or_none(self) -> LossAt | None:
        """The probe's loss as a function of the parameters, where there is a probe."""
        return self.probe

    def live_loss(self) -> Tensor:
        """This step's loss with its graph."""
        if self.current_live_loss is None:
            raise WatchError("the graph of the loss exists only until backward() has used it")
        return self.current_live_loss

    def curvature(self) -> Curvature:
        """Curvature of the probe's loss before this step, or of the loss of this step while its graph is there."""
        if self._curvature is None:
            loss = self.probe if self.probe is not None else self.current_live_loss
            if loss is None:
                raise WatchError(NO_PROBE)
            before = self._before or {}
            params = {
                name: before[name].requires_grad_(tensor.requires_grad) if name in before else tensor
                for name, tensor in self.tensors.items()
            }
            self._curvature = Curvature(params, loss)
        return self._curvature

    def trajectory(self) -> Trajectory:
        """Copies of the parameters at the steps at which this was looked at, thinned; the newest is of now."""
        return Passing(self._passed, self.current_step, self.params)

    def forks(self) -> dict[str, dict[str, Tensor] | None]:
        """The parameters of every fork after as many steps as this run has made, by its name."""
        return {name: copies.get(self.current_step) for name, copies in self._forks.items()}

    def tasks(self) -> TasksAt:
        """Accuracy and loss on every task as functions of the parameters."""
        if self._tasks is None:
            raise WatchError(NO_TASKS)
        self._tasks.step = self.current_step
        return self._tasks

    def activations(self) -> dict[str, Tensor | None]:
        """Hidden units by the layer that they enter: on the probe, else in this step's forward pass."""
        if self.probe is not None:
            return entering(self.probe, self.params(), self.layers())
        if self.hidden is None:
            raise WatchError(NO_FORWARD)
        return {name: self.hidden.get(name) for name in self.layers()}

    def term_grads(self) -> dict[str, dict[str, Tensor | None] | None]:
        """Gradients of the terms that the user has named; None of those that were not in this step."""
        if self._term_grads is None:
            raise WatchError(NO_TERMS)
        if isinstance(self._term_grads, Exception):
            raise self._term_grads
        return {term: self._term_grads.get(term) for term in self._terms}

    def clock(self) -> dict[str, float]:
        """Steps, seconds and measuring seconds since this was last asked."""
        return self.current_clock

    def stand_ins(self) -> list[shards.StandIn]:
        """The tensors that stand for parameters in the graph of a loss."""
        return shards.stand_ins(self.models.values()) if shards.any_distributed(self.held()) else []

    def _remember_initial(self) -> None:
        fresh = {name: tensor for name, tensor in self.holding.params().items() if name not in self._initial}
        self._initial |= trees.clone(fresh)
        self._remembered = self._identity
