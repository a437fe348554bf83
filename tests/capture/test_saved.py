"""A stored run in which others wrote: what makes no sense is left out, and said."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import nbtoolkit
from nbtoolkit import analysis
from nbtoolkit.widget import Board
from nbtoolkit.widget.overlaid import overlaid
from tests import problems

COMMAND = {"step": 3, "what": "lr", "text": "learning rate of group 0: 0.1 -> 0.05", "old": 0.1, "new": 0.05}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of ten steps."""
    problem = problems.tied()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(10)
    return run.save(tmp_path_factory.mktemp("store") / "run.zarr")


@pytest.fixture
def opened(written: Path):
    """The run of a store in which some attributes were changed."""
    group = written / "zarr.json"
    before = group.read_text()

    def change(**attributes: Any) -> nbtoolkit.Run:
        document = json.loads(before)
        document["attributes"] |= attributes
        group.write_text(json.dumps(document))
        return nbtoolkit.open_run(written)

    yield change
    group.write_text(before)


def works(run: nbtoolkit.Run, folder: Path) -> None:
    """It can be shown, diagnosed, laid over itself, exported and saved like any other."""
    repr(run)
    Board(run).close()
    for told in (run, overlaid([run, run])):
        assert nbtoolkit.export_html(told, folder / "page.html").stat().st_size
    analysis.diagnose(run)
    run.save(folder / "again.zarr")


def test_what_was_written_comes_back(opened) -> None:
    log = [
        COMMAND,
        {"step": 0, "what": "pause", "text": "", "old": None, "new": None, "own": True},
        {**COMMAND, "x": [1]},
    ]
    run = opened(commands=log, notes=["a", "b"], elapsed=2, measuring=0.5, fork_step=4, steps=7, name="é")
    assert (run.commands, run.notes, run.name, run.step) == (log, ["a", "b"], "é", 7)
    assert (run.status().elapsed, run.status().share, run.status().steps_per_second) == (2.0, 0.25, 1.5)


WRONG_LOGS = [
    "<script>", 7, {"a": 1}, None, True, [1, 2], [{}], [None], [[COMMAND]], [{"step": 1}],
    [{"text": "x", "what": "lr"}],
    *([COMMAND | {key: value}] for key in ("what", "text") for value in (None, 1, ["x"])),
    *([COMMAND | {"step": value}] for value in ("<img src=x>", "3", 1.5, True, None, -1, [1], 10**400)),
]  # fmt: skip


@pytest.mark.parametrize("log", WRONG_LOGS, ids=lambda log: json.dumps(log)[:40])
def test_a_log_that_makes_no_sense_is_left_out(opened, log: Any) -> None:
    run = opened(commands=log)
    assert run.commands == []
    assert [note for note in run.notes if "commands" in note]


def test_of_a_log_the_entries_that_make_sense_stay(opened, tmp_path: Path) -> None:
    run = opened(commands=[1, COMMAND, {}, COMMAND | {"step": "3"}, COMMAND | {"step": 5}])
    assert [one["step"] for one in run.commands] == [3, 5]
    assert run.notes == ["3 of the commands in the file make no sense and were left out"]
    works(run, tmp_path)
    again = nbtoolkit.open_run(tmp_path / "again.zarr")
    assert (again.commands, again.notes) == (run.commands, run.notes)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        *((key, value) for key in ("elapsed", "measuring") for value in ("x", [1], {}, None, True, -1, 10**400)),
        *((key, value) for key in ("steps", "fork_step") for value in ("12", 1.5, [1], {}, None, True, -1, 10**400)),
        ("name", 5), ("name", None), ("name", ["x"]),
        ("notes", "abc"), ("notes", {"a": 1}), ("notes", None), ("notes", [1]), ("notes", [["a"]]),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_values_that_make_no_sense_are_left_out(opened, attribute: str, value: Any) -> None:
    run = opened(**{attribute: value})
    assert [note for note in run.notes if attribute in note]
    assert all(isinstance(note, str) for note in run.notes)
    assert run.step == (9 if attribute == "steps" else 10)  # the last that something was measured at
    assert (run.name == "run") == (attribute == "name")
    assert math.isfinite(run.status().steps_per_second)


def test_a_run_with_nothing_that_makes_sense_works_too(opened, tmp_path: Path) -> None:
    wrong = {key: [{"a": None}] for key in ("name", "steps", "fork_step", "elapsed", "measuring", "notes", "commands")}
    works(opened(**wrong), tmp_path)


def test_a_run_of_ours_is_given_no_note(opened) -> None:
    assert opened().notes == []
