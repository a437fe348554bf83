"""Runs tell the server of themselves, and take it back."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbtoolkit.lab.live import announced
from nbtoolkit.widget import announce as module
from nbtoolkit.widget.announce import announce


@dataclass(eq=False)
class Run:
    """As much of a run as is told."""

    name: str = "a"
    state: str = "watching"
    step: int = 1
    appender: Any = None

    def status(self) -> "Run":
        return self


@pytest.fixture
def connection(tmp_path: Path, monkeypatch) -> Path:
    """The connection file of this process's kernel."""
    path = tmp_path / "kernel-1.json"
    path.touch()
    monkeypatch.setattr(module, "_connection_file", lambda: path)
    return path


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def files(connection: Path) -> list[Path]:
    return sorted((connection.parent / "nbtoolkit").iterdir())


def test_the_server_reads_what_is_told(connection: Path, clock, tmp_path: Path) -> None:
    run = Run(appender=SimpleNamespace(path=tmp_path / "run.zarr"))
    announce(run, "one")
    told = {"name": "a", "state": "watching", "step": 1, "boards": ["one"], "store": str(tmp_path / "run.zarr")}
    assert announced(connection) == [told]
    assert len(files(connection)) == 1
    assert (connection.parent / "nbtoolkit").stat().st_mode & 0o077 == 0


def test_at_most_once_a_second_but_changes_at_once(connection: Path, clock) -> None:
    run = Run()

    def told(board: str) -> tuple[int | None, str, list[str]]:
        announce(run, board)
        (entry,) = announced(connection)
        return entry["step"], entry["state"], entry["boards"]

    assert told("one") == (1, "watching", ["one"])
    run.step, clock[0] = 2, clock[0] + 0.9
    assert told("one") == (1, "watching", ["one"])
    assert told("two") == (2, "watching", ["one", "two"])
    run.step, run.state = 3, "paused"
    assert told("two") == (3, "paused", ["one", "two"])
    run.step, clock[0] = 4, clock[0] + 1.0
    assert told("two") == (4, "paused", ["one", "two"])


def test_it_goes_with_the_run(connection: Path) -> None:
    one, two = Run(), Run(name="b")
    announce(one, "one")
    announce(two, "two")
    del one
    assert [entry["name"] for entry in announced(connection)] == ["b"]
    assert len(files(connection)) == 1


def test_a_forked_child_does_not_take_it_back(connection: Path) -> None:
    run = Run()
    announce(run, "one")
    (path,) = files(connection)
    module._remove(path, os.getpid() + 1)
    assert path.exists()
    module._remove(path, os.getpid())
    assert not path.exists()


def test_what_killed_kernels_left_is_swept(connection: Path) -> None:
    folder = connection.parent / "nbtoolkit"
    folder.mkdir()
    (connection.parent / "kernel-other.json").touch()
    for name in ("kernel-dead.x.json", "kernel-dead.x.part", "kernel-other.y.json"):
        (folder / name).write_text("{}")
    run = Run()
    announce(run, "one")
    assert {path.name.split(".")[0] for path in files(connection)} == {"kernel-1", "kernel-other"}


def test_what_cannot_be_written_is_left_out(connection: Path, clock) -> None:
    (connection.parent / "nbtoolkit").write_text("a file where the folder should be")
    announce(Run(), "one")
    assert announced(connection) == []


def test_a_run_that_was_opened_from_a_file_is_no_live_one(connection: Path) -> None:
    announce(Run(state="saved"), "one")
    assert announced(connection) == []


def test_what_is_no_run_disturbs_nothing(connection: Path) -> None:
    announce((), "one")
    announce(SimpleNamespace(), "one")
    assert announced(connection) == []


def test_without_a_kernel_nothing_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    announce(Run(), "one")
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_file_is_never_read(connection: Path, monkeypatch) -> None:
    run = Run()
    announce(run, "one")
    seen = []
    monkeypatch.setattr(Path, "replace", lambda *_: seen.append(announced(connection)))
    run.state = "finished"
    announce(run, "one")
    assert [entry["state"] for entry in seen[0]] == ["watching"]
    assert json.loads(next(path for path in files(connection) if path.suffix == ".part").read_text())["state"]
