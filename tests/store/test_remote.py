"""Runs at URLs: of an object store as its users have one, and in memory; training never waits for it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import fsspec.config
import numpy as np
import pytest

import nbtoolkit
from nbtoolkit.capture import Discovery
from nbtoolkit.errors import StoreError
from nbtoolkit.store import files, writing
from nbtoolkit.store.places import Place
from nbtoolkit.store.reading import Reader
from tests import problems
from tests.store.growing import Growing, assert_grown
from tests.store.objects import Objects, objects


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket of a server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "key": "k", "secret": "s"}
    fsspec.config.conf["s3"] = options
    fsspec.filesystem("s3").mkdir("bucket")
    try:
        yield "s3://bucket"
    finally:
        del fsspec.config.conf["s3"]
        server.stop()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Objects]]:
    monkeypatch.setattr(files, "URL_SECONDS", 0.02)
    with objects() as made:
        yield made


def test_a_run_is_watched_opened_and_gone_on_with_on_s3(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "URL_SECONDS", 0.05)
    url = f"{s3}/a/run.zarr"
    files.check_free(url)
    problem, few = problems.mlp(), [nbtoolkit.instruments.loss, nbtoolkit.instruments.grad_norm]
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=few, store=url) as run:
        problem.train(40)
        time.sleep(0.3)
        problem.train(20)
    opened = nbtoolkit.open_run(url)
    assert list(opened.record.groups) == list(run.record.groups)
    for name in run.record.groups:
        np.testing.assert_array_equal(opened[name].to_dataarray(), run[name].to_dataarray())
    assert opened.name == run.name
    with pytest.raises(StoreError, match=r"s3://bucket/a/run.zarr exists already; nothing was changed"):
        files.check_free(url)
    reader = Reader(url)
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=few, store=url, step=50):
        problem.train(20)
    assert reader.poll()
    np.testing.assert_array_equal(reader.record.groups["loss"].rows()[0], np.arange(70))


def test_rows_and_overviews_come_back_from_s3(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = Growing()
    grown.grow(2500)
    url = files.save(grown.record, f"{s3}/saved.zarr")
    assert url == f"{s3}/saved.zarr"
    assert_grown(files.load(url), {"loss": 2500, "norm": 2500, "plane": 50})
    assert Place(url).folders() == ["_overviews", "loss", "norm", "plane"]


def test_text_beside_a_store_on_s3(s3: str) -> None:
    place = Place(f"{s3}/run.zarr").beside(".commands")
    assert (place.read_text(), place.size()) == ("", 0)
    place.append_text("a\n")
    place.append_text("bc\n")
    assert (place.read_text(), place.read_text(2), place.read_text(5), place.size()) == ("a\nbc\n", "bc\n", "", 5)


def test_a_bucket_that_is_not_there_is_said_in_one_line(s3: str) -> None:
    problem = problems.mlp()
    with pytest.raises(StoreError, match=r"cannot create a store at s3://nobucket/run.zarr: .*bucket.*") as caught:
        nbtoolkit.watch(problem.model, problem.optimizer, store="s3://nobucket/run.zarr")
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match=r"there is nothing at s3://nobucket/run.zarr"):
        nbtoolkit.open_run("s3://nobucket/run.zarr")
    assert not problem.optimizer._optimizer_step_pre_hooks


def test_several_runs_of_one_cell_have_stores_of_their_own(store: type[Objects]) -> None:
    first, second = problems.mlp(), problems.mlp()
    with Discovery({"a": first.model, "b": second.model}, store="objects://b/cell.zarr"):
        first.train(3)
        second.train(4)
    lengths = [len(files.load(f"objects://b/{name}.zarr").groups["loss"]) for name in ("cell", "cell-2")]
    assert lengths == [3, 4]


def test_training_does_not_wait_for_a_slow_store(store: type[Objects]) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, store="objects://b/run.zarr") as run:
        problem.train(5)
        store.wait = lambda: time.sleep(0.05)
        before = store.count["puts"]
        problem.train(30)
        waited = store.count["puts"] - before
        store.wait = None
    assert waited < 30  # a step waits for no object
    assert len(nbtoolkit.open_run("objects://b/run.zarr")["loss"]["step"]) == 35
    assert run.state == "finished"


def test_the_end_waits_for_a_dead_store_no_longer_than_is_said(
    store: type[Objects], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CLOSE_SECONDS", 0.2)
    grown, notes = Growing(), list[str]()
    appender = files.Appender("objects://b/run.zarr", grown.record, lambda: None, notes.append)
    hangs = [True]
    store.wait = lambda: [time.sleep(0.01) for _ in range(3000) if hangs[0]]
    grown.grow(10)
    time.sleep(0.1)
    appender.close()
    assert notes == [
        "the store objects://b/run.zarr was not written to its end within 0.2 s and lacks the last rows; keep them "
        "with run.save(path)"
    ]
    hangs[0] = False
    appender._thread.join(10)
    assert not appender._thread.is_alive()


@pytest.mark.parametrize("puts", [0, 1000])
def test_an_outage_is_outlived_and_a_lasting_one_said_once(
    store: type[Objects], puts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FIRST_WAIT", 0.02)
    grown, notes = Growing(), list[str]()
    appender = files.Appender("objects://b/run.zarr", grown.record, lambda: None, notes.append)
    store.left = 0
    grown.grow(10)
    while not appender._failures:
        time.sleep(0.001)
    store.left = puts
    grown.grow(10)
    appender.close()
    store.left = float("inf")
    if puts:
        assert notes == []
        assert_grown(files.load("objects://b/run.zarr"), {"loss": 20, "norm": 20, "plane": 1})
    else:
        assert len(notes) == 1
        assert "could not be written (the network is down); the run goes on in memory" in notes[0]


def test_room_made_ahead_is_given_back_at_the_end(store: type[Objects], monkeypatch: pytest.MonkeyPatch) -> None:
    grown = Growing()
    appender = files.Appender("objects://b/run.zarr", grown.record, lambda: None, lambda note: None)
    grown.grow(10)
    shape = (0,)
    while shape == (0,):
        time.sleep(0.02)
        group: Any = Place("objects://b/run.zarr").open_group("r").get("loss")
        shape = (0,) if group is None or "step" not in group else group["step"].shape
    assert shape == (writing.CHUNK_VALUES,)
    appender.close()
    assert Place("objects://b/run.zarr").open_group("r")["loss/step"].shape == (10,)  # type: ignore[union-attr]


def test_a_magic_and_save_take_urls(tmp_path: Path) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, store=(tmp_path / "run.zarr").as_uri()) as run:
        problem.train(4)
    assert (tmp_path / "run.zarr" / "zarr.json").exists()
    assert run.save("memory://saved-by-a-test/run.zarr") == "memory://saved-by-a-test/run.zarr"
    assert len(nbtoolkit.open_run("memory://saved-by-a-test/run.zarr")["loss"]["step"]) == 4
    Place("memory://saved-by-a-test").remove()
