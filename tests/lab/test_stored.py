"""Stored runs are found in the folders of a server, within bounds."""

import json
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import nbtoolkit
from nbtoolkit.lab import stored as module
from nbtoolkit.lab.stored import MOST, stored


def write(folder: Path, **attributes) -> Path:
    """The part of a store that is read."""
    folder.mkdir(parents=True)
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"nbtoolkit_store": 1} | attributes}
    (folder / "zarr.json").write_text(json.dumps(document))
    return folder


def bounded(call: Callable[..., Any], *args: Any) -> Any:
    """What a call returns, if it does within ten seconds."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call(*args)), daemon=True)
    thread.start()
    thread.join(10)
    assert answers, "no answer within ten seconds"
    return answers[0]


def paths(root: Path, **bounds: int) -> set[str]:
    """Where runs are found."""
    return {run["path"] for run in stored(root, **bounds)[0]}


def test_a_run_that_was_saved_is_found(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nbtoolkit.watch(model, optimizer, store=tmp_path / "deep" / "appended.zarr") as run:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
    run.save(tmp_path / "saved")
    found, complete = stored(tmp_path)
    assert complete
    assert {entry["path"] for entry in found} == {"deep/appended.zarr", "saved"}
    for entry in found:
        assert (entry["name"], entry["state"], entry["step"]) == (run.name, "finished", 3)
        assert entry["modified"] == (tmp_path / entry["path"] / "zarr.json").stat().st_mtime


def test_only_runs_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "run.zarr")
    (write(tmp_path / "other.zarr") / "zarr.json").write_text('{"attributes": {"name": "of another program"}}')
    (write(tmp_path / "broken.zarr") / "zarr.json").write_text("{")
    (write(tmp_path / "odd.zarr") / "zarr.json").write_text('{"attributes": ["nbtoolkit_store"]}')
    (tmp_path / "folder.zarr").mkdir()
    assert paths(tmp_path) == {"run.zarr"}


@pytest.mark.parametrize("hidden", [".cache", "node_modules", "__pycache__"])
def test_hidden_folders_and_the_insides_of_stores_are_left_out(tmp_path: Path, hidden: str) -> None:
    write(tmp_path / hidden / "run.zarr")
    write(write(tmp_path / "outer.zarr") / "inner.zarr")
    assert paths(tmp_path) == {"outer.zarr"}


def test_links_lead_nowhere(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "secret.zarr")
    root = tmp_path / "root"
    write(root / "run.zarr")
    (root / "loop").symlink_to(root)
    (root / "out").symlink_to(tmp_path / "elsewhere")
    assert paths(root) == {"run.zarr"}


def test_what_is_no_file_of_its_own_is_not_read(tmp_path: Path) -> None:
    # A pipe would be waited for, a device read without end: before they are known for what they are.
    root = tmp_path / "root"
    for name in ("pipe", "endless", "link", "folder", "socket"):
        (root / name).mkdir(parents=True)
    os.mkfifo(root / "pipe" / "zarr.json")
    (root / "endless" / "zarr.json").symlink_to("/dev/zero")
    (root / "link" / "zarr.json").symlink_to(write(tmp_path / "elsewhere") / "zarr.json")
    write(root / "folder" / "zarr.json" / "run.zarr")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(root / "socket" / "zarr.json"))
        found, complete = bounded(stored, root)
    assert ({run["path"] for run in found}, complete) == ({"folder/zarr.json/run.zarr"}, True)


def test_one_walk_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on, walks = threading.Event(), threading.Event(), []

    def walk(root: Path) -> tuple[list, bool]:
        walks.append(root)
        inside.set()
        go_on.wait(10)
        return ["a run"], True

    monkeypatch.setattr(module, "stored", walk)
    shelf = module.Shelf(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(shelf.runs)
        assert inside.wait(10)
        assert shelf.runs() == ([], False)  # nothing is known yet, and nobody waits
        assert len(walks) == 1
        go_on.set()
        assert first.result(10) == (["a run"], True)
    shelf._next = 0.0
    assert shelf.runs() == (["a run"], True)
    assert len(walks) == 2


def test_a_walk_that_fails_leaves_the_shelf_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = iter([lambda: 1 / 0, lambda: (["a run"], True)])
    monkeypatch.setattr(module, "stored", lambda root: next(walks)())
    shelf = module.Shelf(tmp_path)
    with pytest.raises(ZeroDivisionError):
        shelf.runs()
    assert shelf.runs() == (["a run"], True)


def test_the_walk_is_bounded_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "far.zarr")
    write(tmp_path / "z" / "near.zarr")
    assert stored(tmp_path, folders=4)[1] is False
    assert paths(tmp_path, folders=5) == {"z/near.zarr"}  # nearer folders come first
    assert paths(tmp_path, folders=6) == {"z/near.zarr", "a/b/far.zarr"}
    assert paths(tmp_path, depth=2) == {"z/near.zarr"}
    assert stored(tmp_path, seconds=0) == ([], False)


def test_a_shelf_is_looked_through_again_after_a_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 10.5, 20.4, 20.5, 20.6])  # a walk of half a second, and so ten seconds of rest
    monkeypatch.setattr(module, "stored", lambda root: (sorted(root.iterdir()), True))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    shelf = module.Shelf(tmp_path)
    assert shelf.runs() == ([], True)
    new = write(tmp_path / "run.zarr")
    assert shelf.runs() == ([], True)
    assert shelf.runs() == ([new], True)


def test_the_newest_are_told(tmp_path: Path) -> None:
    for i in range(MOST + 3):
        os.utime(write(tmp_path / f"{i}.zarr") / "zarr.json", (i, i))
    told = [run["modified"] for run in stored(tmp_path)[0]]
    assert told == sorted(range(3, MOST + 3), reverse=True)


def test_names_are_short_and_other_values_blank(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", name="<script>" * 2000, state=None, steps=True)
    ((run,), _) = stored(tmp_path)
    assert (len(run["name"]), run["state"], run["step"]) == (200, "", None)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert stored(tmp_path / "absent") == ([], True)
