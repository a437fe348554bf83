"""Which units of a model can change places without changing what it computes."""

import copy
import operator
from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from nbtoolkit.numerics.axes import FIXED, Axes
from nbtoolkit.numerics.axis_rules import Call, Labelled, Rule, same, tensors
from nbtoolkit.numerics.layer_rules import FUNCTIONS, module_rule
from nbtoolkit.numerics.shape_rules import item, transposed
from nbtoolkit.numerics.shared_copy import shared_copy
from nbtoolkit.numerics.symmetries import Block, Symmetries
from nbtoolkit.numerics.trees import layer_of

EXAMPLES = 4  # in the passes
SHAPES = {"size", "dim", "numel", "nelement", "ndimension", "is_floating_point", "stride", "is_contiguous", "getattr"}
HOMES = {"torch", "_operator", "math", "builtins"}
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
UNTRACEABLE = "the model cannot be traced by torch.fx, which permutations of its units need: {error}"
REFUSED = "{place}: {error}, so that the permutation symmetries of the model are unknown"
UNKNOWN = "what it does to an order of units is not known"
CHANGED = (
    "permuting the units that the trace of the model found changes its outputs ({apart:.1e} of the largest): it does "
    "more than its modules say (hooks?), so that its permutation symmetries are unknown"
)


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True


def symmetries(model: nn.Module, inputs: Any) -> Symmetries:
    """The permutation symmetries of a model, from a trace of it by torch.fx and one pass in eval mode.

    Channels and hidden units move with all that reads and writes them: linear and convolutional layers (depthwise
    ones share their channels), normalisation with its running statistics, embeddings, tied weights, residual sums,
    concatenations, and columns behind a flattened image in blocks. Of attention the heads move whole; nothing moves
    within a head of `torch.nn.MultiheadAttention`. Inputs and outputs stay. What is found is tried: after a random
    permutation the outputs on ``inputs`` must be as they were.

    Args:
        model: is not changed.
        inputs: of one call, as in a batch: a tensor, a tuple or a dict of arguments.

    Raises:
        ValueError: the model cannot be traced (its path depends on data), a module or function in it is not known, or
            nothing in it can be permuted.
    """
    copied = shared_copy(model).eval()
    for module in copied.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.clone()
    try:
        arguments = _arguments(copied, inputs)
        graph = _Tracer().trace(copied)
    except Exception as error:
        raise ValueError(UNTRACEABLE.format(error=str(error).strip().splitlines()[0])) from None
    cuda = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    with torch.no_grad(), torch.random.fork_rng(cuda):
        found = _Trace(copied).symmetries(graph, arguments)
        _try(copied, arguments, found)
    return found


class _Trace:
    """One pass through a traced model with the axes of every tensor."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.groups = model, Axes()
        self.buffers = dict(model.named_buffers(remove_duplicate=False))
        self.entries = {**dict(model.named_parameters(remove_duplicate=False)), **self.buffers}
        self.labelled: dict[int, Labelled] = {}
        for tensor in self.entries.values():
            if id(tensor) not in self.labelled:  # else it is tied
                axes = tuple(FIXED if size == 1 else self.groups.new(size) for size in tensor.shape)
                self.labelled[id(tensor)] = Labelled(tensor, axes)
        self.used: set[int] = set()

    def symmetries(self, graph: fx.Graph, arguments: Mapping[str, Any]) -> Symmetries:
        """Run the graph, and name what may move."""
        known: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            args, kwargs = _given(node.args, known), _given(node.kwargs, known)
            if node.op == "placeholder":
                known[node] = _labelled(arguments.get(node.target, args[0] if args else None))
            elif node.op == "get_attr":
                known[node] = self._attribute(str(node.target))
            elif node.op == "output":
                self._hold(tensors(args))
            else:
                known[node] = self._called(node, args, kwargs)
        self._hold([one for key, one in self.labelled.items() if key not in self.used])
        return self._named()

    def _called(self, node: fx.Node, args: tuple, kwargs: dict[str, Any]) -> Any:
        if node.target is operator.getitem and not isinstance(args[0], Labelled):
            return args[0][args[1]]
        plain, named, name = _plain(args), _plain(kwargs), _name(node)
        module = self.model.get_submodule(str(node.target)) if node.op == "call_module" else None
        if node.op == "call_method":
            out = getattr(plain[0], str(node.target))(*plain[1:], **named)
        else:
            out = (node.target if module is None else module)(*plain, **named)  # type: ignore[operator]
        moving = any(self.groups.resolved(axis) for one in tensors((args, kwargs)) for axis in one.axes)
        call = Call(self.groups, f"{node.target} ({type(module).__name__})" if module is not None else name, out)
        try:
            if module is not None and (moving or next(module.parameters(), None) is not None):
                return _labelled(out, self._module(call, module, args, kwargs))
            rule = None if module is not None else _rule(node, args)
            if rule is not None and isinstance(out, Tensor | tuple | list):
                return _labelled(out, rule(call, *args, **kwargs))
            if moving and not (name in SHAPES and not isinstance(out, Tensor)):
                raise ValueError(UNKNOWN)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(REFUSED.format(place=call.place, error=error)) from None
        return _labelled(out)

    def _module(self, call: Call, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Any:
        def entry(name: str) -> Labelled | None:
            place, _, last = name.rpartition(".")
            held = module.get_submodule(place)
            tensor = {**held._buffers, **held._parameters}.get(last)
            if tensor is None:
                return None
            self.used.add(id(tensor))
            return self.labelled[id(tensor)]

        axes = module_rule(module)(call, entry, module, *args, **kwargs)
        if not {id(tensor) for tensor in (*module.parameters(), *module.buffers())} <= self.used:
            raise ValueError("it holds a tensor that its kind does not have")
        return axes

    def _attribute(self, target: str) -> Any:
        place, _, name = target.rpartition(".")
        value = getattr(self.model.get_submodule(place), name)
        found = self.labelled.get(id(value)) if isinstance(value, Tensor) else None
        if found is None:
            return _labelled(value)
        self.used.add(id(value))
        if target in self.buffers:  # a table that all models of this kind have alike
            for axis in found.axes:
                self.groups.pin(axis, f"{target} (a buffer)")
        return found

    def _hold(self, given: list[Labelled]) -> None:
        for one in given:
            for axis in one.axes:
                self.groups.pin(axis)

    def _named(self) -> Symmetries:
        held = tuple(dict.fromkeys(why for why in self.groups.pinned.values() if why))
        names: dict[int, str] = {}
        axes: dict[str, tuple[tuple[Block, ...], ...]] = {}
        sizes: dict[str, int] = {}
        for entry, tensor in self.entries.items():
            found = [self.groups.resolved(axis) for axis in self.labelled[id(tensor)].axes]
            for group, size, _ in (segment for axis in found for segment in axis):
                if group not in names:
                    layer = layer_of(entry)
                    taken = sum(name.partition(" ")[0] == layer for name in names.values())
                    names[group] = "" if group in self.groups.pinned else layer + (f" {taken + 1}" if taken else "")
                    sizes |= {names[group]: size} if names[group] else {}
            axes[entry] = tuple(tuple(Block(names[g], size, places) for g, size, places in axis) for axis in found)
        if not sizes:
            raise ValueError(f"no unit of this model can change its place; held by {', '.join(held) or 'nothing'}")
        return Symmetries(axes, sizes, frozenset(self.buffers), held)


def _rule(node: fx.Node, args: tuple) -> Rule | None:
    """The rule of a function or method of torch; None for one of somebody else's."""
    name = _name(node)
    if node.op == "call_function":
        home = getattr(node.target, "__module__", None) or "torch"
        if home.partition(".")[0] not in HOMES:
            return None
    if name == "getattr":
        return {"T": transposed, "mT": transposed, "data": same}.get(args[1])
    if name == "getitem":
        return item
    return FUNCTIONS.get(name) or FUNCTIONS.get(name.removesuffix("_"))  # in place


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _arguments(model: nn.Module, inputs: Any) -> dict[str, Any]:
    """What `forward` gets, by name, on the device of the model; the first examples only."""
    parameters = signature(model.forward).parameters
    if any(parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for parameter in parameters.values()):
        raise ValueError("its forward takes any arguments")
    tensors = [*model.parameters(), *model.buffers()]
    given = dict(inputs) if isinstance(inputs, Mapping) else inputs
    if not isinstance(given, dict):
        given = dict(zip(parameters, given if isinstance(given, (tuple, list)) else (given,), strict=False))

    def few(value: Any) -> Any:
        return value[:EXAMPLES].clone().to(tensors[0].device) if isinstance(value, Tensor) and value.ndim else value

    return {name: few(value) for name, value in given.items()}


def _try(model: nn.Module, arguments: dict[str, Any], found: Symmetries) -> None:
    """Refuse permutations that do change what the model computes.

    Raises:
        ValueError: they do.
    """
    state = {**_without_zeros(model), **dict(model.named_buffers())}
    moved = found.permuted(state, found.random_permutations())
    before = tensors(_labelled(functional_call(model, state, (), copy.deepcopy(arguments))))
    after = tensors(_labelled(functional_call(model, moved, (), copy.deepcopy(arguments))))
    for one, other in zip(before, after, strict=True):
        scale, apart = float(one.value.abs().max()), float((one.value - other.value).abs().max())
        if not apart <= TOLERANCE.get(one.value.dtype, 0.05) * scale:
            raise ValueError(CHANGED.format(apart=apart / scale if scale else float("nan")))


def _without_zeros(model: nn.Module) -> dict[str, Tensor]:
    """The parameters; those of zeros drawn anew, since behind a head of zeros every order looks alike."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: param if bool(param.any()) else torch.randn(param.shape, generator=generator).to(param)
        for name, param in model.named_parameters()
    }


def _given(value: Any, known: Mapping[fx.Node, Any]) -> Any:
    """Arguments of a node with what its nodes stand for."""
    if isinstance(value, fx.Node):
        return known[value]
    if isinstance(value, slice):
        return slice(*(_given(part, known) for part in (value.start, value.stop, value.step)))
    if isinstance(value, Mapping):
        return {key: _given(part, known) for key, part in value.items()}
    if isinstance(value, list):
        return [_given(part, known) for part in value]
    return tuple(_given(part, known) for part in value) if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    """The tensors without their axes."""
    if isinstance(value, Labelled):
        return value.value
    if isinstance(value, slice):
        return slice(*(_plain(part) for part in (value.start, value.stop, value.step)))
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return tuple(_plain(part) for part in value) if isinstance(value, tuple) else value


def _labelled(value: Any, axes: Any = None) -> Any:
    """Tensors with their axes, in the structure of what was returned; all fixed where none are given."""
    if isinstance(value, Tensor):
        axes = [FIXED] * value.ndim if axes is None else axes
        if len(axes) != value.ndim:
            raise ValueError(UNKNOWN)
        return Labelled(value, tuple(axes))
    if isinstance(value, Mapping):
        return {key: _labelled(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [None] * len(value) if axes is None else axes
        return tuple(_labelled(part, own) for part, own in zip(value, parts, strict=True))
    return value
