"""Python's and NumPy's global generators: as they were after anything that draws, whatever was drawn before."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nbtoolkit.numerics import global_states
from nbtoolkit.numerics.global_states import GlobalStates

LEGACY: Any = np.random  # where users draw
DRAWS: list[Callable[[], Any]] = [
    random.random,
    lambda: random.gauss(0, 1),
    lambda: random.shuffle([1, 2, 3]),
    lambda: random.seed(5),
    LEGACY.rand,
    LEGACY.randn,
    lambda: LEGACY.permutation(5),
    lambda: LEGACY.seed(5),
    lambda: (random.random(), LEGACY.randn()),
]


def states() -> Any:
    numpy: Any = LEGACY.get_state(legacy=False)
    return random.getstate(), numpy["state"]["key"].tolist(), numpy["state"]["pos"], numpy["has_gauss"], numpy["gauss"]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    python, numpy = random.getstate(), LEGACY.get_state()
    random.seed(1)
    LEGACY.seed(1)
    yield
    random.setstate(python)
    LEGACY.set_state(numpy)


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("draw", DRAWS)
def test_what_draws_leaves_no_trace(
    draw: Callable[[], Any], before: int, readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(global_states, "READABLE", readable and global_states.READABLE)
    kept = GlobalStates()
    for _ in range(3):  # the second of a pair of normal numbers moves no word of the generator
        for _ in range(before):
            random.gauss(0, 1)
            LEGACY.randn()
        wanted = states()
        kept.keep()
        draw()
        assert states() != wanted
        kept.restore()
        assert states() == wanted


def test_states_are_read_only_where_they_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    python, numpy = random.getstate, LEGACY.get_state
    monkeypatch.setattr(random, "getstate", lambda: (read.append("python"), python())[1])
    monkeypatch.setattr(np.random, "get_state", lambda legacy=True: (read.append("numpy"), numpy(legacy))[1])
    kept = GlobalStates()
    kept.keep()
    read.clear()
    for _ in range(3):
        kept.keep()
        kept.restore()
    assert read == []
    random.random()
    kept.keep()
    LEGACY.rand()
    kept.keep()
    assert read == ["python", "numpy"]


def test_another_generator_of_numpy_is_kept_too() -> None:
    own = LEGACY.get_bit_generator()
    LEGACY.set_bit_generator(np.random.PCG64(3))
    try:
        kept = GlobalStates()
        kept.keep()
        first = LEGACY.rand()
        kept.restore()
        assert LEGACY.rand() == first
    finally:
        LEGACY.set_bit_generator(own)
