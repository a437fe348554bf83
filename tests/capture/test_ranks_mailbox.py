"""Messages between processes, here between threads on one key-value store; and how processes meet."""

import threading
from pathlib import Path

import pytest
from torch.distributed import FileStore, HashStore, PrefixStore, Store

from nbtoolkit.capture.mailbox import Mailbox, connection
from nbtoolkit.capture.ranks import Ranks
from nbtoolkit.errors import WatchError


class DeadStore(HashStore):
    """Answers nothing."""

    def check(self, keys: list[str]) -> bool:
        raise RuntimeError(f"no answer about {keys}")


@pytest.fixture(params=["hash", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return HashStore() if request.param == "hash" else FileStore(str(tmp_path / "store"), -1)


def test_messages_come_in_order_and_once(store: Store) -> None:
    first, second = Mailbox(store, 0), Mailbox(store, 1)
    assert first.take("rows", 1) == []
    sent = [bytes([n]) * n + bytes(range(256)) for n in range(5)]
    assert all(second.put("rows", data) for data in sent[:3])
    assert first.take("rows", 1) == sent[:3]
    assert first.take("rows", 1) == []
    assert all(second.put("rows", data) for data in sent[3:])
    assert second.put("other", b"elsewhere")
    assert first.take("rows", 1) == sent[3:]
    assert first.take("other", 1) == [b"elsewhere"]
    assert first.take("rows", 0) == []  # of itself


def test_nothing_is_lost_between_threads(store: Store) -> None:
    sent = [str(n).encode() for n in range(300)]
    got: list[bytes] = []
    first, second = Mailbox(store, 0), Mailbox(store, 1)
    sender = threading.Thread(target=lambda: [second.put("rows", data) for data in sent])
    sender.start()
    while sender.is_alive():
        got += first.take("rows", 1)
    sender.join()
    got += first.take("rows", 1)
    assert got == sent


def test_what_was_taken_is_in_the_store_no_more() -> None:
    store = HashStore()
    first, second = Mailbox(store, 0), Mailbox(store, 1)
    for _ in range(10):
        second.put("rows", b"data")
    assert store.num_keys() == 10
    assert len(first.take("rows", 1)) == 10
    assert store.num_keys() == 0


def test_a_dead_store_is_an_answer() -> None:
    box = Mailbox(DeadStore(), 0)
    assert box.put("rows", b"data")
    assert box.take("rows", 1) == []
    assert "no answer about" in box.lost
    assert not box.put("rows", b"more")


def test_keys_of_ours_are_apart(store: Store) -> None:
    one, other = connection(store, "0"), connection(store, "1")
    assert isinstance(one, PrefixStore)
    if isinstance(store, HashStore):  # a copy of which knows the same
        Mailbox(PrefixStore("nbtoolkit/0", store), 0).put("rows", b"data")
        assert Mailbox(PrefixStore("nbtoolkit/1", store), 1).take("rows", 0) == []
    one.set("key", "1")
    assert not other.check(["key"])


def meeting(store: Store, why: list[str], limit: float, *, whole: int | None = None) -> list[str]:
    """What every process is told that comes to a meeting of so many."""
    told = ["" for _ in why]

    def come(rank: int, why: str) -> None:
        try:
            Ranks(rank, whole or len(told), store).meet(why, limit)
        except WatchError as error:
            told[rank] = str(error)

    threads = [threading.Thread(target=come, args=(rank, one)) for rank, one in enumerate(why)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_all_come(store: Store) -> None:
    assert meeting(store, ["a step"] * 4, 20) == [""] * 4


def test_those_that_did_not_come_are_named() -> None:
    told = meeting(HashStore(), ["a step"] * 2, 0.05, whole=4)
    assert set(told) == {"a step: ranks 2, 3 did not come within 0.05 s"}


def test_all_that_come_for_different_reasons_part() -> None:
    told = meeting(HashStore(), ["a step", "another"], 0.05)
    assert told == ["a step: rank 1 did not come within 0.05 s", "another: rank 0 did not come within 0.05 s"]


def test_who_comes_late_does_not_go_on_alone() -> None:
    store = HashStore()
    early, late = Ranks(0, 2, store), Ranks(1, 2, store)
    with pytest.raises(WatchError, match="rank 1 did not come"):
        early.meet("a step", 0.01)
    with pytest.raises(WatchError, match="rank 1 did not come"):
        late.meet("a step", 20)


def test_meetings_leave_little_behind() -> None:
    store = HashStore()
    ranks = [Ranks(rank, 3, store) for rank in range(3)]

    def come(one: Ranks) -> None:
        for step in range(20):
            one.meet(f"step {step}", 20)

    threads = [threading.Thread(target=come, args=(one,)) for one in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.num_keys() == 3 + 2  # of the last one
