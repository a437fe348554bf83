"""The held-out data of all tasks, cut and joined into what goes through a model at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nbtoolkit.numerics.loss_at import Batch, examples
from nbtoolkit.numerics.tasks import joined

PIECE = 512  # examples in one forward pass


@dataclass
class Piece:
    """Examples that go through the model together, and whose they are.

    ``owner`` is ``(tasks, examples)``, 1 where an example is of a task and counts; ``allowed`` ``(examples, classes)``
    tells which outputs compete.
    """

    inputs: Any
    targets: Tensor
    tasks: list[tuple[int, int]]  # place of a task, and how many examples in a row are its
    owner: Tensor | None = None
    counted: Tensor | None = None  # of each task
    allowed: Tensor | None = None


def pieces(each: Sequence[Sequence[Batch]]) -> list[Piece]:
    """The batches of every task, none of them longer than `PIECE`."""
    return [
        Piece(*_cut(batch, first), [(place, min(PIECE, examples(batch) - first))])
        for place, batches in enumerate(each) for batch in batches for first in range(0, examples(batch), PIECE)
    ]  # fmt: skip


def _cut(batch: Any, first: int) -> tuple[Any, Tensor]:
    inputs, targets = batch
    return _rows(inputs, first), targets[first : first + PIECE]


def _rows(part: Any, first: int) -> Any:
    if isinstance(part, Tensor):
        return part[first : first + PIECE]
    if isinstance(part, Mapping):
        return {key: _rows(one, first) for key, one in part.items()}
    return tuple(_rows(one, first) for one in part)


def together(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces whose examples look alike, side by side in fewer passes."""
    result: list[Piece] = []
    for piece in pieces:
        last = result[-1] if result else None
        if last is not None and _form(last) == _form(piece) and len(last.targets) + len(piece.targets) <= PIECE:
            inputs, targets = joined([(last.inputs, last.targets), (piece.inputs, piece.targets)])
            result[-1] = Piece(inputs, targets, last.tasks + piece.tasks)
        else:
            result.append(piece)
    return result


def _form(piece: Piece) -> Any:
    def form(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part.shape[1:], part.dtype, part.device
        items = part.items() if isinstance(part, Mapping) else enumerate(part)
        return tuple((key, form(one)) for key, one in items)

    return form((piece.inputs, piece.targets))
