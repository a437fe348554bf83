"""Rows of one step, in parts of several processes, against what one process would have measured."""

from typing import Any

import numpy as np
import pytest

from nbtoolkit.capture.parcels import Packing, Parcel, Unpacking, chosen, cut
from nbtoolkit.capture.parts import Partner, combined, whole
from nbtoolkit.capture.stretch import Block

NAMES = {"param": ("a", "b", "c")}


def block(steps: list[int], values: Any, holes: tuple[int, ...] = (), labels: Any = NAMES) -> Block:
    array = np.asarray(values, np.float64)
    return Block("norms", steps, labels, {"norm": array}, {"norm": holes} if holes else {})


def made_whole(own: Block, *others: list[Block], word: str = "norm") -> list[Block]:
    partners = [Partner(rank, 0.0, 0) for rank in range(1, len(others) + 1)]
    for partner, blocks in zip(partners, others, strict=True):
        partner.take(Parcel(100, blocks), 1.0)
    return list(whole(own, partners, {"norm": word}))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_parts_make_the_value_of_the_whole(count: int) -> None:
    numbers = np.random.default_rng(0).normal(size=(4, 3, 40))
    shards = np.array_split(numbers, count, axis=2)
    of = {
        "norm": (lambda x: np.sqrt((x**2).sum(-1))), "sum": (lambda x: x.sum(-1)),
        "max": (lambda x: x.max(-1)), "min": (lambda x: x.min(-1)),
    }  # fmt: skip
    for word, measure in of.items():
        found = combined(word, [measure(shard) for shard in shards])
        np.testing.assert_allclose(found, measure(numbers), rtol=1e-12)
    equal = np.split(numbers, 40 // 8, axis=2)
    np.testing.assert_allclose(combined("mean", [part.mean(-1) for part in equal]), numbers.mean(-1), rtol=1e-13)


def test_what_one_does_not_hold_counts_nothing_but_a_mean_needs_all() -> None:
    here = np.ma.masked_array([3.0, 1.0, 7.0], [False, False, True])
    there = np.ma.masked_array([4.0, 1.0, 9.0], [False, True, True])
    found = combined("norm", [here, there])
    np.testing.assert_allclose(found[:2], [5.0, 1.0])
    assert np.ma.getmaskarray(found).tolist() == [False, False, True]
    assert np.ma.getmaskarray(combined("mean", [here, there])).tolist() == [False, True, True]


def test_rows_cut_otherwise_are_the_same_rows() -> None:
    values = np.arange(18.0).reshape(6, 3)
    other = [block([0], values[:1]), block([1, 2, 3, 4], values[1:5]), block([5], values[5:])]
    (found,) = made_whole(block([0, 1, 2, 3, 4, 5], values), other)
    np.testing.assert_allclose(found.values["norm"], np.sqrt(2) * values)
    assert found.steps == [0, 1, 2, 3, 4, 5]
    assert not found.holes


def test_what_is_not_yet_wanted_stays() -> None:
    partner = Partner(1, 0.0, 0)
    partner.take(Parcel(4, [block([0, 1, 2, 3], np.ones((4, 3)))]), 1.0)
    first = list(whole(block([0, 1], np.ones((2, 3))), [partner], {"norm": "sum"}))
    second = list(whole(block([2, 3], np.ones((2, 3))), [partner], {"norm": "sum"}))
    assert [one.steps for one in (*first, *second)] == [[0, 1], [2, 3]]
    for one in (*first, *second):
        np.testing.assert_array_equal(one.values["norm"], np.full((2, 3), 2.0))


def test_two_rows_of_one_step_meet_in_their_order() -> None:
    partner = Partner(1, 0.0, 0)
    partner.take(Parcel(9, [block([3], [[1.0] * 3]), block([3, 4], [[2.0] * 3, [3.0] * 3])]), 1.0)
    first = list(whole(block([3], [[0.0] * 3]), [partner], {"norm": "sum"}))
    second = list(whole(block([3, 4], np.zeros((2, 3))), [partner], {"norm": "sum"}))
    assert [one.values["norm"][:, 0].tolist() for one in (*first, *second)] == [[1.0], [2.0, 3.0]]


def test_a_step_that_one_skipped_has_no_value_and_says_so() -> None:
    found = made_whole(block([0, 1, 2], np.ones((3, 3))), [block([0, 2], np.ones((2, 3)))])
    assert [(one.steps, bool(one.values), one.reason) for one in found] == [
        ([0], True, ""), ([1], False, "rank 1 has no value"), ([2], True, ""),
    ]  # fmt: skip


def test_a_process_that_is_lost_is_named() -> None:
    partners = [Partner(1, 0.0, 0), Partner(2, 0.0, 0)]
    for partner in partners:
        partner.take(Parcel(2, [block([0, 1], np.ones((2, 3)))]), 1.0)
    partners[0].take(Parcel(4, [block([2, 3], np.ones((2, 3)))]), 1.0)
    partners[1].lose(partners[1].silent())
    found = list(whole(block([0, 1, 2, 3], np.ones((4, 3))), partners, {"norm": "norm"}))
    assert [one.steps for one in found] == [[0, 1], [2, 3]]
    assert found[1].reason == "rank 2 has sent nothing since step 1"
    assert not found[1].values


def test_holes_of_all_are_holes() -> None:
    own = block([0, 1], [[3.0, np.nan, np.nan]] * 2, holes=(1, 2))
    (found,) = made_whole(own, [block([0, 1], [[4.0, 2.0, np.nan]] * 2, holes=(2,))])
    np.testing.assert_array_equal(found.values["norm"], [[5.0, 2.0, np.nan]] * 2)
    assert found.holes == {"norm": (2,)}


def test_other_labels_are_not_laid_beside_these() -> None:
    (found,) = made_whole(block([0], [[1.0] * 3]), [block([0], [[1.0] * 3], labels={"param": ("a", "x", "c")})])
    assert not found.values
    assert found.reason == "rank 1: it has other labels along param"


def test_a_parcel_arrives_as_it_was_sent() -> None:
    packing, unpacking = Packing(), Unpacking()
    labels = {"param": ("a", "b"), "group": (0, 1)}
    sent = [
        Block("g", [3, 4], labels, {"x": np.array([[1.0, np.nan], [np.inf, -0.0]]), "n": np.array([1.5, 2.0])}),
        Block("g", [5], labels, {"x": np.ones((1, 2))}, {"x": (1,)}),
        Block("h", [5], {}, reason="lost"),
    ]
    for ended in (False, True):
        parcel = unpacking.parcel(packing.bytes(Parcel(6, sent, ended)))
        assert (parcel.through, parcel.ended) == (6, ended)
        for one, other in zip(parcel.blocks, sent, strict=True):
            assert (one.group, one.steps, one.holes, one.reason) == (
                other.group,
                other.steps,
                other.holes,
                other.reason,
            )
            assert {dim: tuple(names) for dim, names in one.labels.items()} == other.labels
            assert one.values.keys() == other.values.keys()
            for key, array in one.values.items():
                assert array.tobytes() == other.values[key].tobytes()
                assert array.shape == other.values[key].shape
    assert len(packing.bytes(Parcel(7, sent[:1]))) < len(Packing().bytes(Parcel(7, sent[:1])))  # labels travel once


def test_only_what_is_combined_travels() -> None:
    whole_block = Block("g", [1], {}, {"x": np.ones(1), "y": np.ones(1)}, {"y": (0,)})
    assert chosen(whole_block, {"x": "sum"}).values.keys() == {"x"}
    assert not chosen(whole_block, {"x": "sum"}).holes
    assert cut(block([1, 2, 3], np.eye(3)), [0, 2]).steps == [1, 3]
