"""Products of curvature matrices with blocks of vectors, by the fastest correct way there is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.graphs import Kept, has_convolution, refuse_once
from nbtoolkit.numerics.loss_at import LossAt

MOST_ROWS = 16  # of a block at once: more gains little, measured on an H100
SHARE = 0.5  # of the free memory of the device that a block may take
PER_ROW = 3.0  # memory of one row, in multiples of what the graph keeps: tangents of both passes


class Piece(Protocol):
    """One matrix of parameters by parameters, to be multiplied with stacked tensors."""

    kept_bytes: int

    @property
    def gradient(self) -> list[Tensor]:
        """Gradient of the loss, one tensor for each parameter."""
        ...

    def __call__(self, block: list[Tensor]) -> list[Tensor]:
        """Products of ``block``, one stack ``(rows, *shape)`` for each parameter."""
        ...


class Operator:
    """A symmetric matrix that is known by its products, here a (weighted sum of) curvature of losses.

    Args:
        flat: the parameters.
        pieces: makes the parts of the sum, each with its weight; asked once for every block where ``streams``.
        streams: whether parts are made again for each block, so that only one is in memory.
        together: the processes of which each has some of the parts.
    """

    def __init__(
        self, flat: Flat, pieces: Callable[[], Any], *, streams: bool = False, together: Any = None
    ) -> None:  # fmt: skip
        self.flat, self._together = flat, together
        self.size, self.device, self.dtype = flat.size, flat.device, flat.dtype
        self.on_host = flat.device.type == "cpu"
        self.products = 0
        self._pieces = pieces if streams else list(pieces())
        self._rows: int | None = None

    def __call__(self, vectors: Tensor) -> Tensor:
        """The matrix times a vector ``(size,)`` or times each row of a block ``(rows, size)``."""
        block = vectors if vectors.ndim == 2 else vectors[None]
        self.products += len(block)
        with torch.enable_grad():
            total = torch.zeros_like(block)
            for weight, piece in self._each():
                total.add_(self._in_chunks(piece, block), alpha=weight)
        total = self._of_all(total)
        return total if vectors.ndim == 2 else total[0]

    def gradient(self) -> Tensor:
        """Gradient of the loss, a vector ``(size,)``."""
        with torch.enable_grad():
            parts = [weight * self.flat.join(piece.gradient) for weight, piece in self._each()]
        return self._of_all(torch.stack(parts).sum(0).detach())

    def agreed(self, free: float) -> float:
        """The memory that a basis may take, the same on all processes."""
        return free if self._together is None or self.on_host else self._together.least(free, self.device)

    def dense(self) -> Tensor:
        """The whole matrix, ``(size, size)``; for small models."""
        return self(torch.eye(self.size, device=self.device, dtype=self.dtype))

    def _of_all(self, part: Tensor) -> Tensor:
        return part if self._together is None else self._together.total([part])[0]

    def _each(self) -> Any:
        return self._pieces() if callable(self._pieces) else self._pieces

    def _in_chunks(self, piece: Piece, block: Tensor) -> Tensor:
        """Products of as many rows at once as memory allows; where it does not, of half as many."""
        if self.on_host:  # one at a time is fastest there, measured
            return torch.cat([self._multiplied(piece, row) for row in block.split(1)])
        rows, done, results = self._rows or self._fitting(piece), 0, []
        while done < len(block):
            try:
                results.append(self._multiplied(piece, block[done : done + rows]))
                done += rows
            except torch.cuda.OutOfMemoryError:
                if rows == 1:
                    raise
                rows //= 2
                torch.cuda.empty_cache()
        self._rows = rows
        return torch.cat(results)

    def _multiplied(self, piece: Piece, rows: Tensor) -> Tensor:
        return self.flat.join(piece(self.flat.split(rows)), rows=len(rows)).detach()

    def _fitting(self, piece: Piece) -> int:
        """Rows whose memory fits into a share of what is free."""
        free = torch.cuda.mem_get_info(self.device)[0]
        free += torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        wanted = int(SHARE * free / (PER_ROW * max(piece.kept_bytes, 1)))
        return max(1, min(MOST_ROWS, wanted))


class KeptGraph:
    """Hessian products by differentiating a gradient whose graph is kept: reverse over reverse.

    Args:
        loss: 0-d, with its graph.
        leaves: what to differentiate by, in order; one that the loss does not use has zero rows.

    Raises:
        RuntimeError: the loss has no second derivative (compiled graphs, flash attention, custom functions).
    """

    def __init__(self, loss: Tensor, leaves: Sequence[Tensor], kept_bytes: int = 0) -> None:
        self.leaves, self.kept_bytes = list(leaves), kept_bytes
        found = torch.autograd.grad(loss, self.leaves, create_graph=True, allow_unused=True)
        self.gradient = [torch.zeros_like(p) if g is None else g for g, p in zip(found, self.leaves, strict=True)]
        refuse_once(loss, [g for g in found if g is not None])
        self._curved = [i for i, g in enumerate(found) if g is not None and g.requires_grad]

    def __call__(self, block: list[Tensor]) -> list[Tensor]:
        """Products of ``block``, one stack ``(rows, *shape)`` for each parameter."""
        rows = len(block[0])
        if not self._curved:
            return [torch.zeros_like(stack) for stack in block]
        outputs = [self.gradient[i] for i in self._curved]
        cotangents = [block[i].to(self.leaves[i].dtype) for i in self._curved]
        batched = rows > 1
        found = torch.autograd.grad(
            outputs, self.leaves, cotangents if batched else [c[0] for c in cotangents],
            retain_graph=True, allow_unused=True, is_grads_batched=batched,
        )  # fmt: skip
        return [
            torch.zeros_like(stack) if product is None else product if batched else product[None]
            for product, stack in zip(found, block, strict=True)
        ]


class ForwardOverReverse:
    """Hessian products by pushing tangents through the gradient, all rows at once.

    Args:
        function: the loss of the leaves.
        leaves: where to differentiate.
    """

    def __init__(self, function: Callable[[list[Tensor]], Tensor], leaves: Sequence[Tensor], kept_bytes: int) -> None:
        self.function, self.leaves, self.kept_bytes = function, [leaf.detach() for leaf in leaves], kept_bytes

    @property
    def gradient(self) -> list[Tensor]:
        """Gradient at the leaves."""
        return list(grad(self.function)(self.leaves))

    def __call__(self, block: list[Tensor]) -> list[Tensor]:
        """Products of ``block``, one stack ``(rows, *shape)`` for each parameter."""
        tangents = [stack.to(leaf.dtype) for stack, leaf in zip(block, self.leaves, strict=True)]

        def product(tangent: list[Tensor]) -> list[Tensor]:
            return jvp(grad(self.function), (self.leaves,), (tangent,))[1]

        return vmap(product, randomness="same")(tangents)


class OneOrMany:
    """One row by the kept graph, several by pushing tangents: what is fastest for convolutions on a GPU, measured.

    Args:
        one: multiplies single rows.
        many: multiplies blocks.
    """

    def __init__(self, one: KeptGraph, many: ForwardOverReverse) -> None:
        self.one, self.many = one, many
        self.gradient, self.kept_bytes = one.gradient, one.kept_bytes

    def __call__(self, block: list[Tensor]) -> list[Tensor]:
        """Products of ``block``, one stack ``(rows, *shape)`` for each parameter."""
        return (self.one if len(block[0]) == 1 else self.many)(block)


def live_hessian(loss: Tensor, params: Mapping[str, Tensor], together: Any = None) -> Operator:
    """The Hessian of a loss whose graph is still there, by the parameters in it.

    Args:
        loss: 0-d, with its graph.
        params: the leaves of the graph, by name; those that need no gradient are left out.
        together: the processes each of which has such a loss; the mean over them is meant.
    """
    trained = trainable(params)
    with torch.enable_grad():
        piece = KeptGraph(loss, list(trained.values()))
    weight = 1.0 if together is None else 1.0 / together.count
    return Operator(Flat(trained), lambda: [(weight, piece)], together=together)


def hessian(loss_at: LossAt, params: Mapping[str, Tensor]) -> Operator:
    """The Hessian of the loss of a probe at the given parameters, which are not changed.

    Of one batch the graph is kept; of several it is made again for each block, one batch at a time.
    """
    flat = Flat(trainable(params))
    return over_batches(loss_at, params, lambda batch, state, leaves: _piece(loss_at, batch, state, leaves, flat))


def over_batches(loss_at: LossAt, params: Mapping[str, Tensor], make: Callable[..., Piece]) -> Operator:
    """The mean of a matrix over the batches of a probe.

    Args:
        loss_at: has the batches.
        params: where, by name.
        make: the matrix of one batch, ``make(batch, state, leaves)``, with `fresh_leaves` of its own.
    """
    flat = Flat(trainable(params))
    together = loss_at.together
    batches = loss_at.weighted() if together is None else together.batches(loss_at)

    def pieces() -> Any:
        for weight, batch in batches:
            leaves, state = fresh_leaves(params, flat)
            with torch.enable_grad():
                piece = make(batch, state, leaves)
            yield weight, piece

    return Operator(flat, pieces, streams=len(batches) > 1, together=together)


def trainable(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that require a gradient."""
    return {name: param for name, param in params.items() if param.requires_grad}


def fresh_leaves(params: Mapping[str, Tensor], flat: Flat) -> tuple[list[Tensor], dict[str, Tensor]]:
    """New leaves on the same memory for what is trained, and all parameters with them in place."""
    state = {name: param.detach() for name, param in params.items()}
    leaves = [state[name].requires_grad_() for name in flat.names]
    return leaves, state


def _piece(loss_at: LossAt, batch: Any, state: Mapping[str, Tensor], leaves: list[Tensor], flat: Flat) -> Piece:
    kept = Kept()
    with kept:
        loss = loss_at.on(batch, state)
    one = KeptGraph(loss, leaves, kept.bytes)
    if flat.device.type == "cpu" or not has_convolution(loss):
        return one
    many = forward_over_reverse(loss_at, batch, one.gradient, state, leaves, flat, kept.bytes)
    return OneOrMany(one, many) if many else one


def forward_over_reverse(
    loss_at: LossAt, batch: Any, gradient: list[Tensor], state: Mapping[str, Tensor], leaves: list[Tensor], flat: Flat,
    kept: int,
) -> ForwardOverReverse | None:  # fmt: skip
    """The piece, or None where transforms of functions do not bear this loss or do not give it.

    Some operators have no forward mode (the backward of an MSE in PyTorch 2.13), and dropout inside attention draws
    another mask there. Whether that is so is tried once for each `LossAt`.
    """
    if loss_at.transformable is False:
        return None
    try:
        pure = loss_at.without_statistics()

        def function(at: list[Tensor]) -> Tensor:
            return pure.on(batch, {**state, **dict(zip(flat.names, at, strict=True))})

        piece = ForwardOverReverse(function, leaves, kept)
        if loss_at.transformable is None:
            found = piece.gradient
            same = [
                torch.allclose(one, other, rtol=1e-2, atol=1e-4) for one, other in zip(found, gradient, strict=True)
            ]
            piece([tensor[None] for tensor in found])
            loss_at.transformable = all(same)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception:
        loss_at.transformable = False
        return None
    return piece if loss_at.transformable else None
