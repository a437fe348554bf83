"""Iterators that a step draws from: copies where there can be, else a refusal."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from nbtoolkit.capture import iterators
from nbtoolkit.capture.situation import Situation
from nbtoolkit.errors import WatchError

ITERATORS: dict[str, Callable[[], Iterator[Any]]] = {
    "list": lambda: iter([1, 2, 3, 4, 5, 6]),
    "tuple": lambda: iter((1, 2, 3, 4, 5, 6)),
    "range": lambda: iter(range(7)),
    "dict": lambda: iter({1: 2, 3: 4, 5: 6, 7: 8}.items()),
    "reversed": lambda: reversed([1, 2, 3, 4]),
    "count": lambda: itertools.count(3, 2),
    "cycle": lambda: itertools.cycle([1, 2, 3]),
    "cycle of a cycle": lambda: itertools.cycle(itertools.islice(itertools.cycle([1, 2, 3]), 5)),
    "chain": lambda: itertools.chain([1, 2], [3, 4, 5], [6]),
    "islice": lambda: itertools.islice(itertools.cycle([1, 2, 3]), 1, 12, 2),
    "repeat": lambda: itertools.repeat(7, 6),
    "enumerate": lambda: enumerate(iter([4, 5, 6, 7])),
    "zip": lambda: zip([1, 2, 3, 4], itertools.count(), strict=False),
    "map": lambda: map(abs, [1, -2, 3, -4]),
}


@pytest.mark.parametrize("kind", ITERATORS)
@pytest.mark.parametrize("taken", [0, 1, 4])
def test_a_copy_of_an_iterator_leaves_the_original_alone(kind: str, taken: int) -> None:
    original, untouched = ITERATORS[kind](), ITERATORS[kind]()
    for _ in range(taken):
        next(original)
        next(untouched)
    copy = iterators.copied(original, {})
    ahead = list(itertools.islice(copy, 8))
    assert list(itertools.islice(original, 8)) == ahead == list(itertools.islice(untouched, 8))


def test_code_finds_copies_of_its_iterators_and_then_the_originals() -> None:
    batches = iter([torch.full((1,), float(i)) for i in range(9)])
    numbered, holder = enumerate(batches), {"again": batches}

    def work() -> tuple[int, float, float]:
        place, batch = next(numbered)
        return place, batch.item(), next(holder["again"]).item()

    assert work() == (0, 0.0, 1.0)
    situation, original = Situation(work), numbered
    situation.stand_in()
    assert numbered is not original
    assert [work(), work()] == [(1, 2.0, 3.0), (2, 4.0, 5.0)]
    situation.restore()
    assert (numbered is original, holder["again"] is batches) == (True, True)
    assert work() == (1, 2.0, 3.0)


def generated() -> Iterator[int]:
    yield from range(5)


@pytest.mark.parametrize(
    ("iterator", "said"),
    [
        (lambda: generated(), "batches is a generator, whose frame cannot be copied"),
        (lambda: enumerate(generated()), "batches is a generator"),
        (lambda: iter(DataLoader(TensorDataset(torch.zeros(3)))), "batches is a DataLoader's iterator, which may have"),
        (lambda: itertools.accumulate([1, 2]), "batches is an iterator of type accumulate"),
        (lambda: (iter([1]), 0), "batches is an iterator within something that cannot be changed"),
    ],
)
def test_iterators_that_cannot_be_wound_back_are_refused(iterator: Callable[[], Any], said: str) -> None:
    batches = iterator()
    with pytest.raises(WatchError, match=said) as caught:
        Situation(lambda: batches)
    assert str(caught.value).endswith("draw the batch within the step, from indices or a torch.Generator, or make the "
                                      "iterator there.")  # fmt: skip
    assert "\n" not in str(caught.value)
