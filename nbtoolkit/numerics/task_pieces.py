"""The held-out data of all tasks, cut and joined into what goes through a model at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nbtoolkit.numerics.loss_at import Batch, examples
from nbtoolkit.numerics.tasks import joined

PIECE = 1024  # examples in one forward pass, fewer where they are large
NUMBERS = 2**22  # in the inputs of one forward pass


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
    form: Any = None  # the shape of the outputs for which this holds, and the dim of the classes in it
    dim: int = -1
    allowed: Tensor | None = None


def pieces(each: Sequence[Sequence[Batch]]) -> list[Piece]:
    """The batches of every task, none of them larger than `PIECE` and `NUMBERS` allow."""
    found = []
    for place, batches in enumerate(each):
        for batch in batches:
            rows, total = _most(batch), examples(batch)
            cuts = range(0, total, rows)
            found += [Piece(*_cut(batch, first, rows), [(place, min(rows, total - first))]) for first in cuts]
    return found


def _cut(batch: Any, first: int, rows: int) -> tuple[Any, Tensor]:
    inputs, targets = batch
    return _rows(inputs, first, rows), targets[first : first + rows]


def _rows(part: Any, first: int, rows: int) -> Any:
    if isinstance(part, Tensor):
        return part[first : first + rows]
    if isinstance(part, Mapping):
        return {key: _rows(one, first, rows) for key, one in part.items()}
    return tuple(_rows(one, first, rows) for one in part) if isinstance(part, (tuple, list)) else part


def together(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces whose examples look alike, side by side in fewer passes."""
    result: list[Piece] = []
    for piece in pieces:
        last = result[-1] if result else None
        if (
            last is not None
            and _form(last) == _form(piece)
            and len(last.targets) + len(piece.targets) <= _most((last.inputs, last.targets))
        ):
            inputs, targets = joined([(last.inputs, last.targets), (piece.inputs, piece.targets)])
            result[-1] = Piece(inputs, targets, last.tasks + piece.tasks)
        else:
            result.append(piece)
    return result


def _most(batch: Batch) -> int:
    """How many examples like these may go through the model at once."""

    def numbers(part: Any) -> int:
        if isinstance(part, Tensor):
            return part[:1].numel()
        if not isinstance(part, (Mapping, tuple, list)):
            return 0
        return sum(map(numbers, part.values() if isinstance(part, Mapping) else part))

    return max(1, min(PIECE, NUMBERS // max(1, numbers(batch))))


def _form(piece: Piece) -> Any:
    def form(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part.shape[1:], part.dtype, part.device
        if not isinstance(part, (Mapping, tuple, list)):
            return part
        items = part.items() if isinstance(part, Mapping) else enumerate(part)
        return tuple((key, form(one)) for key, one in items)

    return form((piece.inputs, piece.targets))
