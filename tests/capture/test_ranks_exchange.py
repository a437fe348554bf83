"""One process of a training, beside others that are played by the test."""

import json
import threading
from collections.abc import Iterator
from time import monotonic

import numpy as np
import pytest
from torch.distributed import HashStore

import nbtoolkit
from nbtoolkit.capture import exchange, ranks
from nbtoolkit.capture.mailbox import Mailbox
from nbtoolkit.capture.parcels import Packing, Parcel, Unpacking
from nbtoolkit.capture.ranks import Found, Ranks
from nbtoolkit.capture.stretch import Block
from tests import problems

LIMIT = 20.0


class Other:
    """A process that the test plays: its part of the loss, step by step."""

    def __init__(self, store: HashStore, rank: int) -> None:
        self.mail, self._packing, self._labels = Mailbox(store, rank), Packing(), {"term": ()}

    def sends(self, losses: dict[int, float], *, through: int | None = None, ended: bool = False) -> None:
        steps = list(losses)
        values = {"loss": np.array(list(losses.values())), "terms": np.empty((len(steps), 0))}
        blocks = [Block("loss", steps, self._labels, values)] if steps else []
        last = (max(steps) + 1 if steps else 0) if through is None else through
        self.mail.put(exchange.ROWS, self._packing.bytes(Parcel(last, blocks, ended)))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> HashStore:
    monkeypatch.setattr(exchange, "TURN_SECONDS", 0.01)
    monkeypatch.setattr(exchange, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(exchange, "END_SECONDS", 0.3)
    return HashStore()


def watched(
    store: HashStore, monkeypatch: pytest.MonkeyPatch, rank: int = 0, count: int = 2
) -> tuple[nbtoolkit.Run, problems.Problem]:
    found = Found(Ranks(rank, count, store), writes=rank == 0)
    monkeypatch.setattr(ranks, "find", lambda *about: found)
    problem = problems.mlp()
    return nbtoolkit.watch(problem.model, problem.optimizer), problem


@pytest.fixture
def first(store: HashStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[nbtoolkit.Run, problems.Problem]]:
    run, problem = watched(store, monkeypatch)
    yield run, problem
    run.detach()


def until(what: str, condition: object) -> None:
    end = monotonic() + LIMIT
    while not condition():  # type: ignore[operator]
        assert monotonic() < end, f"{what} did not come about"
        threading.Event().wait(0.01)


def test_rows_wait_for_those_of_all(
    store: HashStore, first: tuple[nbtoolkit.Run, problems.Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, problem = first
    problem.train(3)
    assert len(run["grad_norm"].step) == 3  # the same everywhere
    assert len(run["loss"].step) == 0
    other = Other(store, 1)
    other.sends({0: 10.0, 1: 20.0})
    until("two steps", lambda: len(run["loss"].step) == 2)
    other.sends({2: 30.0}, ended=True)
    run.detach()
    monkeypatch.setattr(ranks, "find", lambda *about: Found())
    alone = problems.mlp()
    with nbtoolkit.watch(alone.model, alone.optimizer, name="alone") as unshared:
        alone.train(3)
    np.testing.assert_allclose(run["loss"]["loss"], (unshared["loss"]["loss"] + [10.0, 20.0, 30.0]) / 2)
    assert not any("rank 1" in note for note in run.notes)


def test_a_silent_process_is_lost_and_nothing_waits_for_it(
    store: HashStore, first: tuple[nbtoolkit.Run, problems.Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, problem = first
    problem.train(4)
    Other(store, 1).sends({0: 1.0, 1: 1.0})
    until("two steps", lambda: len(run["loss"].step) == 2)
    monkeypatch.setattr(exchange, "SILENT_SECONDS", 0.05)
    until("all steps", lambda: len(run["loss"].step) == 4)
    values = run["loss"]["loss"]
    assert np.isfinite(values.values).tolist() == [True, True, False, False]
    assert values.attrs["not_measured"] == "rank 1 has sent nothing since step 1 (2 times, first at step 2)"
    assert any(note.startswith("rank 1 has sent nothing since step 1") for note in run.notes)
    problem.train(1)
    until("one more", lambda: len(run["loss"].step) == 5)
    assert np.isfinite(run["grad_norm"]["total"]).all()


def test_a_process_that_has_nothing_to_say_is_not_lost_while_it_says_so(
    store: HashStore, first: tuple[nbtoolkit.Run, problems.Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, problem = first
    monkeypatch.setattr(exchange, "SILENT_SECONDS", 0.3)
    other = Other(store, 1)
    problem.train(2)
    for _ in range(12):
        other.sends({}, through=0)
        threading.Event().wait(0.05)
    other.sends({0: 1.0, 1: 1.0}, ended=True)
    run.detach()
    assert np.isfinite(run["loss"]["loss"]).all()


def test_the_end_waits_a_little_and_then_no_more(
    store: HashStore, first: tuple[nbtoolkit.Run, problems.Problem]
) -> None:
    run, problem = first
    problem.train(3)
    Other(store, 1).sends({0: 1.0})
    began = monotonic()
    run.detach()
    assert exchange.END_SECONDS <= monotonic() - began < LIMIT
    assert np.isfinite(run["loss"]["loss"].values).tolist() == [True, False, False]
    assert run.state == "finished"


def test_one_that_is_watched_no_more_is_not_waited_for(
    store: HashStore, first: tuple[nbtoolkit.Run, problems.Problem]
) -> None:
    run, problem = first
    problem.train(3)
    Other(store, 1).sends({0: 1.0}, ended=True)
    until("all steps", lambda: len(run["loss"].step) == 3)
    assert "rank 1 is watched no more from step 1 on" in run["loss"]["loss"].attrs["not_measured"]


def test_garbage_ends_the_exchange_and_not_the_training(
    store: HashStore, first: tuple[nbtoolkit.Run, problems.Problem]
) -> None:
    run, problem = first
    problem.train(2)
    Mailbox(store, 1).put(exchange.ROWS, b"{garbage")
    until("all steps", lambda: len(run["loss"].step) == 2)
    assert not np.isfinite(run["loss"]["loss"]).any()
    assert any("could not be exchanged" in note for note in run.notes)
    problem.train(1)


def test_the_others_send_their_part_and_keep_it(store: HashStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run, problem = watched(store, monkeypatch, rank=1)
    mail, unpacking = Mailbox(store, 0), Unpacking()
    problem.train(3)
    run.detach()
    parcels = [unpacking.parcel(message) for message in mail.take(exchange.ROWS, 1)]
    assert parcels[-1].ended
    assert parcels[-1].through == 3
    blocks = [block for parcel in parcels for block in parcel.blocks]
    assert {block.group for block in blocks} == {"loss"}  # all else is the same everywhere
    assert [step for block in blocks for step in block.steps] == [0, 1, 2]
    sent = np.concatenate([block.values["loss"] for block in blocks])
    np.testing.assert_array_equal(sent, run["loss"]["loss"])
    assert run["grad_norm"].sizes["step"] == 3


def test_the_others_say_that_all_is_well(store: HashStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = watched(store, monkeypatch, rank=1)
    mail = Mailbox(store, 0)
    found: list[bytes] = []
    until("a sign of life", lambda: found.extend(mail.take(exchange.ROWS, 1)) or found)
    assert json.loads(found[0].partition(b"\n")[0])["through"] == 0
    run.detach()


def test_nothing_is_sent_to_a_process_that_has_ended(store: HashStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run, problem = watched(store, monkeypatch, rank=1)
    Mailbox(store, 0).put(f"{exchange.OVER}1", b"")
    thread = run.exchange._thread  # type: ignore[union-attr]
    thread.join(LIMIT)
    assert not thread.is_alive()
    problem.train(2)
    run.detach()
    assert Mailbox(store, 0).take(exchange.ROWS, 1) == []
    assert len(run["loss"].step) == 2


def test_a_dead_store_loses_the_others_and_nothing_else(
    store: HashStore, first: tuple[nbtoolkit.Run, problems.Problem]
) -> None:
    run, problem = first
    problem.train(2)
    assert run.ranks is not None
    run.ranks.mailbox.lose("gone")
    until("all steps", lambda: len(run["loss"].step) == 2)
    problem.train(1)
    run.detach()
    assert len(run["loss"].step) == 3
    assert "gone" in run["loss"]["loss"].attrs["not_measured"]
