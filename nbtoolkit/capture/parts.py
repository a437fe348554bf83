"""Rows of one step, measured in parts by several processes, made whole."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from nbtoolkit.capture.parcels import Parcel, cut
from nbtoolkit.capture.stretch import Block

Words = Mapping[str, str]
EVERY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda parts: parts.mean(axis=0),
    "norm": lambda parts: np.sqrt((parts**2).sum(axis=0)),
    "sum": lambda parts: parts.sum(axis=0),
    "max": lambda parts: parts.max(axis=0),
    "min": lambda parts: parts.min(axis=0),
}


def combined(word: str, parts: Sequence[np.ndarray]) -> np.ndarray:
    """One value of the values of all processes, place by place; a masked array if one of theirs is.

    A mean is known where all are known; the others leave out what is masked, and are masked where all is.

    Args:
        word: mean, norm (root of the sum of squares), sum, max or min.
        parts: of each process, in the order of their ranks.
    """
    every = EVERY[word]
    if not any(np.ma.is_masked(part) for part in parts):  # nearly always; arithmetic with masks is slow
        return every(np.stack([np.ma.getdata(part) for part in parts]))
    stacked = np.ma.stack([np.ma.asarray(part) for part in parts])
    if word == "mean":
        return np.ma.masked_array(every(np.ma.getdata(stacked)), np.ma.getmaskarray(stacked).any(axis=0))
    return every(stacked)


class Partner:
    """What one other process has sent and is not yet used.

    Attributes:
        through: its rows of all steps below this one are here.
        lost: why no more comes; empty while it does.
    """

    def __init__(self, rank: int, now: float, step: int) -> None:
        self.rank, self.heard, self.through, self.lost = rank, now, step, ""
        self.last: int | None = None  # the step of its newest row
        self._blocks: dict[str, list[Block]] = {}

    def take(self, parcel: Parcel, now: float) -> None:
        """A parcel has come."""
        self.heard, self.through = now, max(self.through, parcel.through)
        for block in parcel.blocks:
            self._blocks.setdefault(block.group, []).append(block)
            self.last = max(self.last or 0, *block.steps)
        if parcel.ended:
            self.lose(f"rank {self.rank} is watched no more from step {self.through} on")

    def lose(self, reason: str) -> None:
        """No more comes."""
        self.lost = self.lost or reason

    def silent(self) -> str:
        """That it has sent nothing for too long, in words."""
        since = "ever" if self.last is None else f"since step {self.last}"
        return f"rank {self.rank} has sent nothing {since}"

    def rows(self, wanted: Block, words: Words) -> tuple[dict[str, np.ndarray], np.ndarray, str]:
        """Its rows of the steps of a block: values, which steps it has, and why it lacks the others.

        Rows of earlier steps are dropped: they were wanted by nobody.
        """
        steps = np.asarray(wanted.steps, np.int64)
        has, reason = np.zeros(len(steps), bool), ""
        shapes = {key: wanted.values[key].shape for key in words if key in wanted.values}
        values = {key: np.zeros(shape) for key, shape in shapes.items()}
        masks: dict[str, np.ndarray] = {}
        left: list[Block] = []
        for block in self._blocks.get(wanted.group, ()):
            theirs = np.asarray(block.steps, np.int64)
            place = np.minimum(np.searchsorted(steps, theirs), len(steps) - 1)
            hit = (steps[place] == theirs) & ~has[place]
            wrong = block.reason or _unlike(block, wanted, shapes)
            if hit.any() and wrong:
                reason = reason or f"rank {self.rank}: {wrong}"
            elif hit.any():
                has[place[hit]] = True
                for key, array in values.items():
                    array[place[hit]] = block.values[key][hit]
                    if holes := block.holes.get(key):
                        mask = masks.setdefault(key, np.zeros(shapes[key], bool))
                        mask[place[hit]] |= _mask(shapes[key][1:], holes)
            stays = ~hit & (theirs >= steps[-1])
            if stays.any():
                left.append(cut(block, np.flatnonzero(stays).tolist()))
        self._blocks[wanted.group] = left
        if not has.all():
            masks = {key: masks.get(key, np.zeros(shape, bool)) for key, shape in shapes.items()}
            for mask in masks.values():
                mask[~has] = True
        values |= {key: np.ma.masked_array(values[key], mask) for key, mask in masks.items()}
        return values, has, reason or self.lost or f"rank {self.rank} has no value"


def whole(own: Block, partners: Sequence[Partner], words: Words) -> Iterator[Block]:
    """The rows of a block with the parts of all processes in them; where one is missing, without values and why."""
    words = {key: word for key, word in words.items() if key in own.values}
    if own.reason or not words:  # rows without a value need nobody
        for partner in partners:
            partner.rows(own, {})
        yield own
        return
    parts: dict[str, list[np.ndarray]] = {key: [_masked(own, key)] for key in words}
    missing = np.full(len(own.steps), -1)
    reasons: list[str] = []
    for partner in partners:
        values, has, reason = partner.rows(own, words)
        missing[~has & (missing < 0)] = len(reasons)
        reasons.append(reason)
        for key, array in values.items():
            parts[key].append(array)
    totals = {key: combined(word, parts[key]) for key, word in words.items()}
    masks = {key: np.ma.getmaskarray(total) for key, total in totals.items() if np.ma.is_masked(total)}
    for rows in _alike([missing, *masks.values()]):
        block, lacks = cut(own, rows), int(missing[rows.start])
        if lacks >= 0:
            yield Block(own.group, block.steps, own.labels, reason=reasons[lacks])
            continue
        for key, total in totals.items():
            block.holes.pop(key, None)
            block.values[key] = np.ma.filled(total[rows], np.nan)
            if key in masks and (holes := np.flatnonzero(masks[key][rows.start])).size:
                block.holes[key] = tuple(holes.tolist())
        yield block


def _masked(block: Block, key: str) -> np.ndarray:
    values, holes = block.values[key], block.holes.get(key)
    if not holes:
        return values
    return np.ma.masked_array(values, np.broadcast_to(_mask(values.shape[1:], holes), values.shape))


def _mask(shape: Sequence[int], holes: Sequence[int]) -> np.ndarray:
    """True in the places of a value where there are holes."""
    mask = np.zeros(shape, bool)
    mask.reshape(-1)[list(holes)] = True
    return mask


def _unlike(block: Block, wanted: Block, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Why the rows of another process cannot be laid beside these."""
    if not shapes.keys() <= block.values.keys():
        return "no value"
    here, there = ({dim: list(names) for dim, names in labels.items()} for labels in (wanted.labels, block.labels))
    if here != there and block.labels is not wanted.labels:
        dim = next((dim for dim in here if here[dim] != there.get(dim)), "")
        return f"it has other labels along {dim}"
    alike = all(block.values[key].shape[1:] == shape[1:] for key, shape in shapes.items())
    return "" if alike else "its values have another shape"


def _alike(marks: Sequence[np.ndarray]) -> Iterator[slice]:
    """Slices of rows in which each mark is the same."""
    changes = np.zeros(len(marks[0]), bool)
    for mark in marks:
        flat = mark.reshape(len(mark), -1)
        changes[1:] |= (flat[1:] != flat[:-1]).any(axis=1)
    edges = [0, *np.flatnonzero(changes).tolist(), len(changes)]
    yield from (slice(a, b) for a, b in itertools.pairwise(edges))
