"""The reservoir keeps every example with the same probability, and nothing else than what it was given."""

from itertools import product
from typing import Any

import pytest
import torch

from nbtoolkit.interventions import Reservoir


def stream(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(count).float()[:, None].repeat(1, 3), torch.arange(count)


def filled(capacity: int, count: int, *, seed: int = 0, batch: int = 7) -> Reservoir:
    memory = Reservoir(capacity, seed=seed)
    x, y = stream(count)
    for part in torch.arange(count).split(batch):
        memory.add(x[part], y[part])
    return memory


def test_every_example_is_kept_with_the_same_probability() -> None:
    capacity, count, seeds = 5, 20, 2000
    kept = torch.zeros(count)
    for seed in range(seeds):
        _, y = filled(capacity, count, seed=seed).sample(capacity)
        assert len(y.unique()) == capacity
        kept[y] += 1
    share = capacity / count
    error = (share * (1 - share) / seeds) ** 0.5
    assert ((kept / seeds - share).abs() < 4 * error).all()
    apart = ((kept / seeds - share) / error).square().sum() / (1 - share)  # kept examples add up to the capacity
    assert 0.4 < apart * (1 - share) / (count - 1) < 2.2  # chi square over its 19 degrees of freedom


def test_the_slots_are_those_of_the_algorithm() -> None:
    """Vitter's algorithm R, example by example, from the same random numbers."""
    capacity, count = 6, 50
    memory = filled(capacity, count, seed=3, batch=count)
    drawn = torch.rand(count, generator=torch.Generator().manual_seed(3), dtype=torch.float64).tolist()
    slots: dict[int, int] = {}
    for index in range(count):
        slot = index if index < capacity else int(drawn[index] * (index + 1))
        if slot < capacity:
            slots[slot] = index
    _, y = memory.state_dict()["examples"]
    assert y.tolist() == [slots[slot] for slot in range(capacity)]


def test_classes_are_kept_in_their_shares() -> None:
    labels = torch.cat([torch.zeros(600), torch.ones(300), torch.full((100,), 2.0)])
    counts = torch.zeros(3)
    for seed in range(100):
        memory = Reservoir(50, seed=seed)
        for part in labels.split(32):
            memory.add(part)
        (kept,) = memory.sample(50)
        counts += torch.bincount(kept.long(), minlength=3)
    for share, found in zip((0.6, 0.3, 0.1), (counts / 5000).tolist(), strict=True):
        assert abs(found - share) < 4 * (share * (1 - share) / 5000) ** 0.5


def test_how_the_stream_is_cut_does_not_matter() -> None:
    whole = filled(10, 100, batch=100)
    for batch in (1, 7, 33):
        other = filled(10, 100, batch=batch)
        for one, two in zip(whole.state_dict()["examples"], other.state_dict()["examples"], strict=True):
            assert torch.equal(one, two)


def test_examples_stay_whole_in_any_form() -> None:
    memory = Reservoir(4)
    x, y = stream(30)
    memory.add({"pixels": x, "ids": y}, (y * 2, y.float() / 2))
    inputs, (twice, half) = memory.sample(4)
    assert torch.equal(inputs["pixels"][:, 0].long(), inputs["ids"])
    assert torch.equal(twice, inputs["ids"] * 2)
    assert torch.equal(half, inputs["ids"] / 2)


def test_a_sample_has_no_example_twice() -> None:
    memory = filled(20, 200)
    for _ in range(20):
        _, y = memory.sample(15)
        assert len(y.unique()) == 15
    assert len(memory.sample(100)[0]) == 20
    assert len({tuple(memory.sample(3)[1].tolist()) for _ in range(20)}) > 1


def test_length_is_what_is_kept() -> None:
    assert [len(filled(5, count)) for count in (1, 4, 5, 60)] == [1, 4, 5, 5]


def test_what_is_kept_is_a_copy_without_a_graph() -> None:
    memory = Reservoir(3)
    x = torch.ones(3, 2, requires_grad=True)
    given = x * 2
    memory.add(given)
    with torch.no_grad():
        given.zero_()
    (kept,) = memory.sample(3)
    assert torch.equal(kept, torch.full((3, 2), 2.0))
    assert not kept.requires_grad


def test_a_loaded_state_goes_on_as_the_saved_one() -> None:
    memory, other = filled(8, 40), Reservoir(8, seed=99)
    other.load_state_dict(memory.state_dict())
    x, y = stream(60)
    for one in (memory, other):
        one.add(x[40:], y[40:])
    assert torch.equal(memory.sample(5)[1], other.sample(5)[1])
    empty = Reservoir(8)
    empty.load_state_dict(Reservoir(8).state_dict())
    assert len(empty) == 0
    with pytest.raises(ValueError, match="holds 8 of 60 examples, where a memory with capacity=9 has 9"):
        Reservoir(9).load_state_dict(memory.state_dict())


def test_the_global_random_state_is_not_used() -> None:
    before = torch.get_rng_state()
    filled(5, 50).sample(3)
    assert torch.equal(torch.get_rng_state(), before)


BAD: list[Any] = [0, -1, 2.5, True, "many"]


@pytest.mark.parametrize("value", BAD)
def test_a_number_that_is_no_count_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="capacity="):
        Reservoir(value)
    with pytest.raises(ValueError, match="count="):
        filled(2, 2).sample(value)
    with pytest.raises(ValueError, match="seed="):
        Reservoir(2, seed=-1)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((), "add.. got nothing; give tensors"), ((3,), "got int; give tensors"),
        ((torch.zeros(()),), "give tensors with the examples"), ((torch.zeros(2), torch.zeros(3)), "of 2, 3 examples"),
    ],
)  # fmt: skip
def test_what_is_no_batch_is_refused(batch: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reservoir(2).add(*batch)


def test_another_form_is_refused_and_an_empty_memory_says_so() -> None:
    memory = filled(2, 2)
    for batch in product([torch.zeros(2, 4)], [torch.zeros(2)]):
        with pytest.raises(ValueError, match="another form or shape"):
            memory.add(*batch)
    with pytest.raises(ValueError, match="another form or shape"):
        memory.add(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="the memory is empty"):
        Reservoir(2).sample(1)


def test_another_dtype_is_refused() -> None:
    memory = filled(4, 4)
    with pytest.raises(ValueError, match=r"got torch.float32 where torch.int64 is kept; convert it"):
        memory.add(torch.ones(2, 3), torch.tensor([0.5, 0.7]))
    assert memory.seen == 4
    assert memory.sample(4)[1].sort().values.tolist() == [0, 1, 2, 3]
