"""Sweeps on two workers: what fills the grid, what fails, and what another place does not change."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bokeh.plotting import figure
from distributed import Client

import nbtoolkit
from nbtoolkit.bridges import cluster
from nbtoolkit.bridges.dask import map_runs
from nbtoolkit.bridges.sweep import Sweep
from nbtoolkit.errors import LandscapeError
from nbtoolkit.widget.drawing import Drawing

LONG = 60  # seconds that nothing here takes


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster.local(2, 1) as found:
        yield found


@pytest.fixture
def beginnings(tmp_path: Path) -> Callable[[], Counter[str]]:
    """How often each cell has begun, by the files ``KEY-...`` that it left in ``tmp_path/begun``."""
    (tmp_path / "begun").mkdir()
    return lambda: Counter(path.name.split("-")[0] for path in (tmp_path / "begun").iterdir())


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_grid_is_filled_and_what_fails_says_why(client: Client) -> None:
    def train(kind: str, lr: float) -> Any:
        if kind == "raises":
            raise ValueError(f"lr={lr} is too large\nmore")
        if kind == "exits":
            raise SystemExit(3)
        if kind == "returns a string":
            return "fine"
        if kind == "says nothing":
            raise KeyError
        if kind == "cannot be sent":

            class Local(Exception):
                def __reduce__(self):  # type: ignore[no-untyped-def]
                    raise TypeError

            raise Local("own")
        return {"loss": 2 * lr, "threads": torch.get_num_threads()}

    kinds = ["works", "raises", "exits", "returns a string", "says nothing", "cannot be sent"]
    sweep = map_runs(train, {"kind": kinds, "lr": [0.5, 0.25]}, client=client)
    data = sweep.wait(LONG).data
    assert data["loss"].dims == ("kind", "lr")
    assert data["loss"].sel(kind="works").values.tolist() == [1.0, 0.5]
    assert data["threads"].sel(kind="works").values.tolist() == [1, 1]
    assert np.isnan(data["loss"].sel(kind=kinds[1:]).values).all()
    reasons = data["reason"].sel(lr=0.5).values.tolist()
    assert reasons[:3] == ["", "ValueError: lr=0.5 is too large", "SystemExit: 3"]
    assert reasons[3].startswith("TypeError: train returned str; expected a number")
    assert reasons[4:] == ["KeyError", "Local: own"]
    failed = sweep.failed
    assert len(failed) == 10
    assert list(failed.columns) == ["kind", "lr", "reason", "where"]
    assert str(failed["where"][0]).startswith("test_dask.py, line ")
    assert str(failed["where"][0]).endswith(", in train")
    assert failed["where"][failed["kind"] == "returns a string"].tolist() == ["", ""]  # in no line of train
    now = sweep.status()
    assert (now.state, now.cells, now.done, now.failed, now.waiting) == ("finished", 12, 2, 10, 0)
    assert repr(sweep) == "<Sweep 'train': finished, kind (6) x lr (2), 2 of 12 cells, 10 failed>"
    assert client.status == "running"  # it is left open


def test_workers_keep_memory_between_steps_and_this_process_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    before = dict(os.environ)
    with cluster.local(1, 3) as own:
        found = own.submit(lambda: dict(os.environ)).result(LONG)
    assert found["OMP_NUM_THREADS"] == "3"
    assert "MALLOC_TRIM_THRESHOLD_" not in found
    assert dict(os.environ) == before


def test_curves_of_runs_are_united_and_equal_those_made_here(client: Client) -> None:
    def train(lr: float, steps: int) -> Any:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        run = nbtoolkit.watch(model, optimizer, instruments=[nbtoolkit.instruments.loss, nbtoolkit.instruments.lr])
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(4, 3)).square().mean().backward()
            optimizer.step()
        if lr == 0.5:
            raise RuntimeError("left without an end")
        return run

    with map_runs(train, {"lr": [0.5, 0.1, 0.01], "steps": [3, 6]}, client=client) as sweep:
        pass
    data = sweep.data
    assert data["loss"].dims == ("lr", "steps", "step")
    for lr in (0.1, 0.01):
        here = train(lr, 6)
        here.detach()
        curve = here["loss"]["loss"]
        long, short = (data["loss"].sel(lr=lr, steps=steps, step=curve.step).values for steps in (6, 3))
        np.testing.assert_array_equal(long, curve.values)
        np.testing.assert_array_equal(short, [*curve.values[:3], *[np.nan] * 3])
    assert data["reason"].sel(lr=0.5).values.tolist() == ["RuntimeError: left without an end"] * 2
    assert data["loss"].attrs["units"] == "loss"


def test_results_do_not_depend_on_where_and_after_what_a_cell_is_run(client: Client) -> None:
    changed: list[int] = []

    def train(a: int, b: int) -> dict[str, float]:
        import random

        time.sleep(0.3)  # in which the worker talks to its scheduler
        changed.append(1)  # what one cell does to what it refers to is not seen by another
        drawn = {"python": random.random(), "numpy": np.random.rand(), "torch": float(torch.rand(()))}  # noqa: NPY002
        return {**drawn, "seen": len(changed)}

    grid = {"a": [0, 1, 2], "b": [0, 1]}
    first = map_runs(train, grid, client=client).wait(LONG).data
    again = map_runs(train, {"b": [1, 0], "a": [2, 1, 0]}, client=client, name="turned").wait(LONG).data
    for name in ("python", "numpy", "torch"):
        np.testing.assert_array_equal(first[name].values, again[name].sel(a=[0, 1, 2], b=[0, 1]).transpose("a", "b"))
        assert len(np.unique(first[name].values)) == 6
    assert (first["seen"].values == 1).all()
    assert changed == []


def test_a_store_is_filled_at_once_and_only_what_is_missing_is_run(
    client: Client, tmp_path: Path, beginnings: Callable[[], Counter[str]]
) -> None:
    folder, wrong = str(tmp_path / "begun"), tmp_path / "wrong"
    wrong.touch()

    def train(lr: float, n: int, folder: str = folder, wrong: str = str(wrong)) -> float:
        import tempfile

        tempfile.mkstemp(prefix=f"{lr}_{n}-", dir=folder)
        if n == 2 and os.path.exists(wrong):
            raise ValueError("not now")
        return lr * n

    store = tmp_path / "sweep"
    first = map_runs(train, {"lr": [1.0, 2.0], "n": [1, 2]}, client=client, store=store).wait(LONG)
    assert beginnings() == {"1.0_1": 1, "1.0_2": 1, "2.0_1": 1, "2.0_2": 1}
    assert len(list(store.glob("*.cell"))) == 2
    assert first.status().failed == 2
    wrong.unlink()
    again = map_runs(train, {"n": [1, 2, 3], "lr": [2.0, 1.0]}, client=client, store=store).wait(LONG)
    assert beginnings() == {"1.0_1": 1, "1.0_2": 2, "2.0_1": 1, "2.0_2": 2, "1.0_3": 1, "2.0_3": 1}
    np.testing.assert_array_equal(again.data["value"].values, [[2, 1], [4, 2], [6, 3]])
    assert len(list(store.glob("*.cell"))) == 6
    done = map_runs(train, {"lr": [1.0], "n": [1, 2]}, store=store, workers=1).wait(LONG)  # without any worker
    assert done.data["value"].values.tolist() == [[1, 2]]
    assert sum(beginnings().values()) == 8


def test_a_sweep_fills_in_while_it_runs_and_can_be_cancelled(client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def train(n: int, gate: str = str(gate)) -> int:
        while n > 0 and not os.path.exists(gate):
            time.sleep(0.01)
        return n

    sweep = map_runs(train, {"n": range(20)}, client=client)
    told: list[int] = []
    sweep.listeners.append(lambda seen: told.append(seen.status().done))
    until(lambda: sweep.status().done == 1)
    assert sweep.data["value"].values[0] == 0
    assert sweep.data["reason"].values.tolist() == ["", *["not run yet"] * 19]
    until(lambda: told == [1])
    with pytest.raises(TimeoutError, match=r"19 of 20 cells of 'train' are not there after 0\.01 s; it goes on"):
        sweep.wait(0.01)
    sweep.cancel()
    gate.touch()
    assert sweep.state == "cancelled"
    assert sweep.data["reason"].values.tolist() == ["", *["cancelled"] * 19]
    assert told == [1, 1]
    sweep.cancel()
    with pytest.raises(ZeroDivisionError), map_runs(train, {"n": range(3)}, client=client) as other:
        raise ZeroDivisionError
    assert other.state in ("cancelled", "finished")
    assert not [thread for thread in threading.enumerate() if thread.name == "nbtoolkit sweep"]


def test_a_shown_sweep_is_drawn_anew_as_cells_come_in(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    monkeypatch.setattr(
        nbtoolkit.panels, "sweep_figure", lambda data: figure(title=f"{int(data.value.count())} there"), raising=False
    )

    def train(n: int, gate: str = str(gate)) -> int:
        while not os.path.exists(gate):
            time.sleep(0.01)
        return n

    sweep = map_runs(train, {"n": [1, 2]}, client=client)
    drawing = nbtoolkit.show(sweep)
    assert isinstance(drawing, Drawing)
    assert "train: none of 2 cells is there yet" in drawing.drawing
    gate.touch()
    sweep.wait(LONG)
    assert "2 there" in drawing.drawing
    assert "2 there" in nbtoolkit.show(sweep).drawing  # type: ignore[union-attr]
    drawing.close()
    drawing.replace(figure(title="too late"))


def test_a_listener_that_fails_is_dropped(client: Client) -> None:
    sweep = map_runs(lambda n: n, {"n": [1]}, client=client)
    sweep.listeners.append(lambda _: 1 / 0)
    sweep.wait(LONG)
    sweep.tell(now=True)
    assert sweep.listeners == []
    assert sweep.notes == ["a listener was dropped: ZeroDivisionError: division by zero"]


def test_hostile_names_of_axes(client: Client) -> None:
    def train(**point: Any) -> dict[str, float]:
        return {"weight decay": 1.0, "self": 2.0}

    sweep: Sweep = map_runs(train, {"weight decay": [1], "../x": ['"'], "data": [1, 2]}, client=client).wait(LONG)
    assert sweep.data["weight decay_measured"].dims == ("weight decay", "../x", "data")
    assert sweep.data["self"].values.tolist() == [[[2.0, 2.0]]]


def test_what_cannot_work_is_refused_at_once(client: Client) -> None:
    lock = threading.Lock()
    for arguments, words in (
        ({"grid": {"n": []}}, "the axis 'n' has no values"),
        ({"train": lambda m: m}, r"<lambda>\(m\) cannot be called with the grid's axes n"),
        ({"train": lambda n: lock}, r"<lambda>\(\) cannot be sent to workers, nor what it refers to \(.*lock"),
        ({"workers": 0}, "workers=0: expected a whole number, 1 or more"),
        ({"threads": 1.5}, r"threads=1\.5: expected a whole number"),
        ({"client": "127.0.0.1:8786"}, r"client is a str; expected a distributed\.Client"),
        ({"client": client, "workers": 2}, "workers= is for a cluster of our own"),
    ):
        with pytest.raises(LandscapeError, match=words):
            map_runs(**{"train": lambda n: n, "grid": {"n": [1]}, **arguments})
