"""The loss of a fixed probe as a pure function of the parameters."""

import contextlib
import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from nbtoolkit.numerics import random_states
from nbtoolkit.numerics.shared_copy import shared_copy

Batch = Any
SEED = 0  # of what is random in a forward pass (dropout): one mask for all measurements
FORMS = (
    "probe is {got}; give one batch (inputs, targets) together with loss=, an iterable of such batches that can be "
    "read again (a list, a DataLoader), or a function of the model that returns its loss"
)
NO_PAIR = (
    "a batch of the probe is {got}; expected (inputs, targets); for anything else give a function of the model that "
    "returns its loss: probe=lambda model: ..."
)
NO_SCALAR = "the loss is {got}; expected a 0-d tensor, the mean over the examples of a batch: end it with .mean()"
_turn = threading.RLock()  # random states and the kind of attention are the process's: two threads that kept them at
# the same time would put back each other's


class LossAt:
    """The mean loss over a probe, at any parameters; the model itself is never touched.

    The model is called in its present mode (train or eval) with copies of its buffers, its random numbers drawn from
    a fixed seed, attention by the kernel that has second derivatives, and nothing compiled.

    Args:
        model: called with other parameters in place of its own.
        probe: one batch ``(inputs, targets)``, an iterable of batches that can be read again, or a function
            ``probe(model)`` that returns a 0-d loss. Inputs that are a tuple or a dict are the model's arguments.
        loss: ``loss(outputs, targets)``, the mean over the examples of a batch.
        prefix: of the names of the parameters, to be taken off before the model sees them.

    Raises:
        TypeError: the probe has none of these forms, or is a list with a batch that is no pair.
    """

    def __init__(
        self, model: nn.Module, probe: Any, loss: Callable[..., Tensor] | None = None, prefix: str = ""
    ) -> None:
        if not _is_function(probe) and (loss is None or not isinstance(probe, Iterable)):
            without = " without loss=" if loss is None else ""
            raise TypeError(FORMS.format(got=f"a {type(probe).__name__}{without}"))
        self.model, self.loss, self.prefix = model, loss, prefix
        self.function: Any = probe if _is_function(probe) else None
        self._probe = [probe] if _is_batch(probe) else probe
        if isinstance(self._probe, (list, tuple)) and (got := _no_pair(self._probe)):
            raise TypeError(NO_PAIR.format(got=got))
        self._batches: list[Batch] | None = None
        self.form: Callable[[Any], Tensor] = scalar  # what `on` makes of what the loss returns
        self.transformable: bool | None = None  # by `torch.func`; found out where it matters
        self.together: Any = None  # the processes that share the probe out, see `numerics.together`

    def __call__(self, params: Mapping[str, Tensor]) -> Tensor:
        """The loss of the whole probe, a 0-d tensor; with gradients off no graph is kept."""
        total: Any = 0.0
        for weight, batch in self.weighted():
            total = total + weight * self.on(batch, params)
        return total

    def weighted(self) -> list[tuple[float, Batch]]:
        """The batches, each with its share of the examples; one ``None`` where the probe is a function.

        They are read once and kept on their device, so that batch statistics and a shuffle cannot change between
        two products with one matrix.

        Raises:
            ValueError: the probe has no batch, or one that is no pair.
        """
        if self.function is not None:
            return [(1.0, None)]
        if self._batches is None:
            with self.undisturbed(), random_states.kept(self._probe):  # a DataLoader draws random numbers
                batches = list(self._probe)
            if not batches:
                raise ValueError("the probe has no batch")
            if got := _no_pair(batches):
                raise ValueError(NO_PAIR.format(got=got))
            self._batches = batches
        sizes = [examples(batch) for batch in self._batches]
        return [(size / sum(sizes), batch) for size, batch in zip(sizes, self._batches, strict=True)]

    def on(self, batch: Batch, params: Mapping[str, Tensor]) -> Tensor:
        """The loss of one batch.

        Raises:
            ValueError: it is no single number.
        """
        with self.undisturbed():
            if self.function is not None:
                state = {f"model.{name}": tensor for name, tensor in self._state(params).items()}
                return self.form(functional_call(_Within(self.model, self.function), state, ()))
            assert self.loss is not None
            return self.form(self.loss(self._forward(batch, params), _moved(batch[1], params)))

    def outputs(self, batch: Batch, params: Mapping[str, Tensor]) -> Tensor:
        """What the model says on one batch.

        Raises:
            ValueError: the probe is a function, or the model returns something other than one tensor.
        """
        if self.function is not None:
            raise ValueError("a probe that is a function hides the outputs; give probe=(inputs, targets) and loss=")
        with self.undisturbed():
            outputs = self._forward(batch, params)
        if not isinstance(outputs, Tensor):
            raise ValueError(f"the model returns a {type(outputs).__name__}; this needs one tensor of outputs")
        return outputs

    def targets(self, batch: Batch, params: Mapping[str, Tensor]) -> Any:
        """The targets of one batch, on the device of the parameters."""
        return _moved(batch[1], params)

    def arrays(self) -> tuple[Any, Any]:
        """All inputs and all targets of the probe, each one tensor.

        Raises:
            ValueError: they are not tensors, or the probe is a function.
        """
        if self.function is not None:
            raise ValueError("a probe that is a function cannot be cut into examples; give probe=(inputs, targets)")
        batches = [batch for _, batch in self.weighted()]
        if not all(isinstance(part, Tensor) for batch in batches for part in batch):
            raise ValueError("the probe's inputs and targets must each be one tensor to be cut into examples")
        return tuple(torch.cat([batch[i] for batch in batches]) for i in (0, 1))  # type: ignore[return-value]

    def with_probe(self, probe: Any) -> "LossAt":
        """The same loss on other batches."""
        return LossAt(self.model, probe, self.loss, self.prefix)

    def portable(self) -> "LossAt":
        """The same loss on the batches that were read, for another process."""
        return self if self.function is not None else self.with_probe([batch for _, batch in self.weighted()])

    def without_statistics(self) -> "LossAt":
        """The same loss through a copy of the model whose normalisation layers keep no running statistics.

        In train mode they do not use them; that they update them is what transforms of functions cannot bear.
        """
        model = shared_copy(self.model)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase) and module.training:
                module.running_mean = module.running_var = module.num_batches_tracked = None
        twin = copy.copy(self)
        twin.model = model
        return twin

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Random states as they were afterwards; attention that can be differentiated twice; nothing compiled."""
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        with _turn, random_states.shared_kept(device), sdpa_kernel(SDPBackend.MATH), contextlib.ExitStack() as stack:
            if _has_compiled(self.model):
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            for generator in random_states.shared(device):
                generator.manual_seed(SEED)
            yield

    def _forward(self, batch: Batch, params: Mapping[str, Tensor]) -> Any:
        inputs = _moved(batch[0], params)
        if isinstance(inputs, Mapping):
            return functional_call(self.model, self._state(params), (), dict(inputs))
        inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
        return functional_call(self.model, self._state(params), inputs)

    def _state(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        own = {name.removeprefix(self.prefix): param for name, param in params.items() if name.startswith(self.prefix)}
        known = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        # An optimizer may hold what is not the model's: a temperature, a weight of the loss.
        own = {name: param for name, param in own.items() if name in known or name in buffers}
        if params and not own:
            raise ValueError(f"none of the parameters given is the model's: {', '.join(list(params)[:3])}")
        return {**buffers, **own}


class _Within(nn.Module):
    """A function of a model as a module around it, so that it sees other parameters wherever it looks."""

    def __init__(self, model: nn.Module, function: Callable[[nn.Module], Tensor]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self) -> Tensor:
        """The loss."""
        return self.function(self.model)


def examples(batch: Batch) -> int:
    """Examples in a batch: the length of the first tensor in it."""
    if isinstance(batch, Tensor):
        return len(batch)
    parts = batch.values() if isinstance(batch, Mapping) else batch
    return examples(next(iter(parts)))


def scalar(loss: Any) -> Tensor:
    """A loss as a 0-d tensor.

    Raises:
        ValueError: it is not one number.
    """
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss.reshape(()) if loss.ndim else loss
    got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
    raise ValueError(NO_SCALAR.format(got=got))


def _no_pair(batches: Sequence[Any]) -> str:
    """What the first batch is that is no pair; empty where all are."""
    for batch in batches:
        if not isinstance(batch, (tuple, list)):
            return f"a {type(batch).__name__}"
        if len(batch) != 2:
            return f"a {type(batch).__name__} of {len(batch)} parts"
    return ""


def _has_compiled(model: nn.Module) -> bool:
    return any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in model.modules())


def _is_function(probe: Any) -> bool:
    return callable(probe) and not isinstance(probe, Iterable)


def _is_batch(probe: Any) -> bool:
    """Whether this is one batch: a pair whose first part is a tensor, a dict or a tuple of arguments."""
    if not isinstance(probe, Sequence) or len(probe) != 2:
        return False
    first, second = probe
    if isinstance(first, (Tensor, Mapping)):
        return True
    return isinstance(second, Tensor) and all(isinstance(part, Tensor) for part in first)


def _moved(value: Any, params: Mapping[str, Tensor]) -> Any:
    """Tensors of a batch on the device of the parameters, as training loops put them there."""
    device = next(iter(params.values())).device
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _moved(part, params) for key, part in value.items()}
    return type(value)(_moved(part, params) for part in value) if isinstance(value, (tuple, list)) else value
