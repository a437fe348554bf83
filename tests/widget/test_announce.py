"""Runs tell the server of themselves, and take it back."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbtoolkit.lab import live
from nbtoolkit.lab.live import announced
from nbtoolkit.widget import announce as module
from nbtoolkit.widget.announce import announce

KEY = "0123456789abcdef" * 2  # as of a run


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
    return sorted((connection.parent / module.FOLDER).iterdir())


def test_the_server_reads_what_is_told(connection: Path, clock, tmp_path: Path) -> None:
    run = Run(appender=SimpleNamespace(path=tmp_path / "run.zarr"))
    announce(run, "one")
    told = {"name": "a", "state": "watching", "step": 1, "boards": ["one"], "store": str(tmp_path / "run.zarr")}
    assert announced(connection) == [told]
    assert len(files(connection)) == 1
    assert (connection.parent / module.FOLDER).stat().st_mode & 0o077 == 0


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
    folder = connection.parent / module.FOLDER
    folder.mkdir()
    (connection.parent / "kernel-other.json").touch()
    for name in (f"kernel-dead.{KEY}.json", f"kernel-dead.{KEY}.part", f"kernel-other.{KEY}.json"):
        (folder / name).write_text("{}")
    run = Run()
    announce(run, "one")
    assert {path.name.split(".")[0] for path in files(connection)} == {"kernel-1", "kernel-other"}


def test_nothing_else_is_swept(connection: Path) -> None:
    folder = connection.parent / module.FOLDER
    folder.mkdir()
    others = {
        "__init__.py", "errors.py", "notes.txt", "README", f"{KEY}.json", f".{KEY}.json", "kernel-dead.x.json",
        f"kernel-dead.{KEY}", f"kernel-dead.{KEY}.json.bak", f"kernel-dead.{KEY.upper()}.json",
        f"kernel-dead.{KEY}0.json",
    }  # fmt: skip
    for name in others:
        (folder / name).write_text("mine")
    (folder / f"folder.{KEY}.json").mkdir()
    (folder / f"link.{KEY}.json").symlink_to(folder / "notes.txt")
    run = Run()
    announce(run, "one")
    left = {path.name for path in files(connection) if not path.name.startswith("kernel-1.")}
    assert left == others | {f"folder.{KEY}.json", f"link.{KEY}.json"}


def test_a_package_beside_a_connection_file_is_left_alone(connection: Path) -> None:
    package = connection.parent / "nbtoolkit"
    package.mkdir()
    (package / "__init__.py").write_text("mine")
    run = Run()
    announce(run, "one")
    assert [path.name for path in package.iterdir()] == ["__init__.py"]


def test_both_sides_mean_the_same_folder() -> None:
    assert module.FOLDER == live.FOLDER == "nbtoolkit-runs"


@pytest.mark.parametrize(
    "place", ["runtime/kernel-1.json", "elsewhere/kernel-1.json", "runtime/kernel-1", "runtime/absent.json"]
)
def test_only_connection_files_of_jupyters_own_folder_count(tmp_path: Path, monkeypatch, place: str) -> None:
    for name in ("runtime/kernel-1.json", "runtime/kernel-1", "elsewhere/kernel-1.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "runtime")
    app = SimpleNamespace(abs_connection_file=str(tmp_path / place))
    kernelapp = SimpleNamespace(IPKernelApp=SimpleNamespace(initialized=lambda: True, instance=lambda: app))
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", kernelapp)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "link"))
    expected = tmp_path / place if place == "runtime/kernel-1.json" else None
    assert module._connection_file() == expected


def test_what_cannot_be_written_is_left_out(connection: Path, clock) -> None:
    (connection.parent / module.FOLDER).write_text("a file where the folder should be")
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
