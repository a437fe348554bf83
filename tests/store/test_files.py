"""A run on disk: the same after a round trip, whole after a kill, and clear about what is wrong."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import nbtoolkit
from nbtoolkit.errors import StoreError
from nbtoolkit.store import files, writing
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from tests import problems


def watched(steps: int = 25, **options: Any) -> nbtoolkit.Run:
    problem = problems.tied()
    with nbtoolkit.watch(problem.model, problem.optimizer, **options) as run:
        problem.train(steps)
        run.log(accuracy=0.5)
    return run


def assert_same(one: nbtoolkit.Run, other: nbtoolkit.Run) -> None:
    assert list(one.record.groups) == list(other.record.groups)
    for name in one.record.groups:
        xr.testing.assert_identical(one[name], other[name])
        assert list(one[name].data_vars) == list(other[name].data_vars)


def test_save_and_open_is_the_identity(tmp_path: Path) -> None:
    run = watched()
    opened = nbtoolkit.open_run(run.save(tmp_path / "run.zarr"))
    assert_same(run, opened)
    assert opened.state == "saved"
    assert opened.status().step == 25
    assert opened.status().notes == run.status().notes
    assert_same(run, nbtoolkit.open_run(opened.save(tmp_path / "again.zarr")))


def test_appended_while_training_equals_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITE_SECONDS", 0.01)
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, store=tmp_path / "run.zarr") as run:
        for _ in range(40):
            problem.train(10)
            time.sleep(0.005)
            run.log(value=run.step)
    assert_same(run, nbtoolkit.open_run(tmp_path / "run.zarr"))


def test_plain_xarray_reads_the_store(tmp_path: Path) -> None:
    run = watched()
    run.save(tmp_path / "run.zarr")
    tree = xr.open_datatree(tmp_path / "run.zarr", engine="zarr", consolidated=False)
    np.testing.assert_array_equal(tree["grad_norm"]["total"], run["grad_norm"]["total"])
    assert tree["grad_norm"].to_dataset()["param"].values.tolist() == run["grad_norm"]["param"].values.tolist()


def test_parameters_that_appear_later_are_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record()
    writer = writing.Writer(files.create(tmp_path / "r.zarr"))
    columns = record.group("norm", {"norm": Var(("param",), units="1", long_name="norm")})
    columns.append([0, 1], {"norm": np.ones((2, 1))}, {"param": ["a"]})
    writer.write(record)
    columns.append([2], {"norm": np.array([[2.0, 3.0]])}, {"param": ["a", "b"]})
    writer.write(record)
    read = files.load(tmp_path / "r.zarr").groups["norm"].dataset()["norm"]
    np.testing.assert_array_equal(read, [[1, np.nan], [1, np.nan], [2, 3]])
    assert read["param"].values.tolist() == ["a", "b"]


def test_errors_and_lines_come_back_as_declared(tmp_path: Path) -> None:
    variables = {
        "value": Var(("rank",), "1", "v", "log", error="bound", line=1.0),
        "bound": Var(("rank",), "1", "b"),
        "other": Var(("radius",), "1", "o", line="edge"),
        "edge": Var((), "1", "e"),
    }
    record = Record()
    labels = {"rank": [1, 2], "radius": [0.1]}
    record.group("g", variables).append([0], {"value": np.ones((1, 2))}, labels)
    read = files.load(files.save(record, tmp_path / "r.zarr")).groups["g"]
    assert read.variables == variables
    assert read.labels == labels


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}

KILLED = """
import sys, time, torch, nbtoolkit
from tests import problems
problem = problems.mlp()
run = nbtoolkit.watch(problem.model, problem.optimizer, store=sys.argv[1])
end = time.perf_counter() + 100
while time.perf_counter() < end:
    problem.step()
    print(run.step, flush=True)
    time.sleep(60 if run.step == int(sys.argv[2]) else 0.005)  # a long evaluation, or the usual pace
"""


@pytest.mark.parametrize("pause_at", [-1, 100])
def test_after_kill_9_the_file_opens_and_lacks_at_most_the_last_second(tmp_path: Path, pause_at: int) -> None:
    store = tmp_path / "run.zarr"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(store), str(pause_at)]
    stamps: list[tuple[float, int]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ONE_THREAD) as process:
        assert process.stdout is not None
        for line in process.stdout:
            stamps.append((time.perf_counter(), int(line)))
            if stamps[-1][1] == pause_at or stamps[-1][0] - stamps[0][0] > 3:
                break
        if pause_at > 0:
            time.sleep(2)
        killed = time.perf_counter()
        os.kill(process.pid, signal.SIGKILL)
    owed = max(step for stamp, step in stamps if stamp < killed - 1.0)
    run = nbtoolkit.open_run(store)
    steps = run["loss"]["step"].values
    assert len(steps) >= owed > 50
    np.testing.assert_array_equal(steps, np.arange(len(steps)))
    assert np.isfinite(run["loss"]["loss"]).all()
    assert np.isfinite(run["grad_norm"]["grad_norm"]).all()


def test_rows_cut_off_in_mid_write_are_left_out(tmp_path: Path) -> None:
    store = watched(20).save(tmp_path / "run.zarr")
    group = zarr.open_group(store, mode="r+")["loss"]
    group["loss"].resize((30,))  # type: ignore[union-attr] - values made room for, not yet written
    group["step"].resize((24,))  # type: ignore[union-attr] - steps made room for, not yet written
    run = nbtoolkit.open_run(store)
    assert run["loss"]["step"].values.tolist() == list(range(20))


ENDS = """
import sys, torch, nbtoolkit
from tests import problems
problem = problems.mlp()
run = nbtoolkit.watch(problem.model, problem.optimizer, store=sys.argv[1])
problem.train(100)
"""


def test_a_script_that_ends_without_detaching_keeps_everything(tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    subprocess.run([sys.executable, "-c", ENDS, str(store)], check=True, env=ONE_THREAD, timeout=100)
    assert len(nbtoolkit.open_run(store)["loss"]["step"]) == 100


def test_a_relative_store_stays_where_it_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITE_SECONDS", 0.01)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, store="run.zarr") as run:
        problem.train(20)
        time.sleep(0.1)
        monkeypatch.chdir(tmp_path / "elsewhere")
        problem.train(20)
    assert_same(run, nbtoolkit.open_run(tmp_path / "run.zarr"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_logged_after_the_end_reaches_the_store(tmp_path: Path) -> None:
    run = watched(store=tmp_path / "run.zarr")
    run.log(test_accuracy=0.75)
    assert nbtoolkit.open_run(tmp_path / "run.zarr")["test_accuracy"]["test_accuracy"].values.tolist() == [0.75]


def test_asking_whether_a_path_is_free_leaves_nothing_behind(tmp_path: Path) -> None:
    files.check_free(tmp_path / "a" / "b" / "run.zarr")
    assert list(tmp_path.iterdir()) == []


# -- bad input -----------------------------------------------------------------------------


def test_a_store_that_exists_is_left_alone(tmp_path: Path) -> None:
    store = watched().save(tmp_path / "run.zarr")
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    problem = problems.mlp()
    with pytest.raises(StoreError, match=r"run.zarr exists already; nothing was changed. Choose another path"):
        nbtoolkit.watch(problem.model, problem.optimizer, store=store)
    with pytest.raises(StoreError, match="exists already"):
        watched().save(store)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    assert not problem.optimizer._optimizer_step_pre_hooks


@pytest.mark.parametrize("save", [True, False])
def test_a_path_that_cannot_be_written_is_said(tmp_path: Path, save: bool) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "run.zarr"
    problem = problems.mlp()
    with pytest.raises(StoreError, match="choose another path") as caught:
        watched().save(path) if save else nbtoolkit.watch(problem.model, problem.optimizer, store=path)
    assert "\n" not in str(caught.value)


FULL = """
import resource, signal, sys, warnings, torch, nbtoolkit
from nbtoolkit.store import files, writing
from tests import problems
files.WRITE_SECONDS = 0.05
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
problem = problems.mlp()
with nbtoolkit.watch(problem.model, problem.optimizer, store=sys.argv[1]) as run:
    problem.train(50)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))  # from here on, every file is too large
    problem.train(2000)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_a_full_disk_ends_the_store_and_not_the_training(tmp_path: Path) -> None:
    code = FULL.replace("(10, 10)", "(10, resource.RLIM_INFINITY)") + (
        "import json; print(json.dumps([run.state, len(run['loss'].step), run.status().notes]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run.zarr")],
        capture_output=True,
        text=True,
        timeout=100,
        env=ONE_THREAD,
    )
    assert done.returncode == 0, done.stderr
    state, rows, notes = json.loads(done.stdout.splitlines()[-1])
    assert (state, rows) == ("finished", 2050)
    assert any("could not be written" in note and "run.save(path)" in note for note in notes), notes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is nothing at"),
        (lambda path: path.write_text("hello"), "not a Zarr store that can be read"),
        (lambda path: path.mkdir(), "not a Zarr store that can be read"),
        (lambda path: zarr.open_group(path, mode="w"), "not a run of nbtoolkit"),
        (lambda path: watched().save(path) and (path / "zarr.json").write_text('{"zarr_'), "cannot? be read"),
        (lambda path: watched().save(path) and (path / "loss/loss/zarr.json").write_text("{}"), "'loss' .* damaged"),
        (lambda path: watched().save(path) and (path / "loss/loss/c/0").write_bytes(b"xx"), "'loss' .* damaged"),
        (lambda path: zarr.open_group(path, mode="w", attributes={writing.MARK: 99}), "has format 99"),
    ],
)
def test_what_is_no_readable_run_is_said_in_one_line(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "run.zarr"
    make(path)
    with pytest.raises(StoreError, match=message.replace("cannot?", "(can|cannot)")) as caught:
        nbtoolkit.open_run(path)
    assert "\n" not in str(caught.value)
