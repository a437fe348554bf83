"""A sweep on workers of its own, in a script: killed in the middle, taken up again, and with workers that die."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.timeout(300)

LONG = 100  # seconds that nothing here takes
CELLS = 8
HELD = (4, 5)  # under way when the client is killed
DIES_ONCE, DIES = 6, 7

SCRIPT = """
import json, os, sys, tempfile, time
from nbtoolkit.bridges.dask import map_runs

folder, gate = sys.argv[1:]

def train(cell):  # of __main__, so that workers get a copy
    earlier = [name for name in os.listdir(folder) if name.startswith(f"{cell}-")]
    tempfile.mkstemp(prefix=f"{cell}-", suffix=f"-{os.getpid()}", dir=folder)
    while cell in HELD and not os.path.exists(gate):
        time.sleep(0.01)
    if cell == DIES or (cell == DIES_ONCE and not earlier):
        time.sleep(0.2)
        os.kill(os.getpid(), 9)
    return cell * FACTOR

HELD, DIES_ONCE, DIES, FACTOR = (4, 5), 6, 7, 10

if __name__ == "__main__":
    with map_runs(train, {"cell": range(8)}, store=os.path.join(folder, "..", "sweep"), workers=2) as sweep:
        pass
    data = sweep.data
    print(json.dumps({
        "values": [None if v != v else v for v in data["value"].values.tolist()],
        "reasons": data["reason"].values.tolist(), "state": sweep.state, "notes": sweep.notes,
    }))
"""


@dataclass
class Lives:
    """What was seen of the two lives of a script."""

    before: Counter[str]  # how often each cell had begun when it was killed
    kept: list[str]
    orphans: list[int]  # processes of workers that outlived the client
    after: Counter[str]
    result: dict[str, Any]
    errors: str


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Lives]:
    folder = tmp_path_factory.mktemp("crash")
    (folder / "begun").mkdir()
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", str(folder / "begun"), str(folder / "gate")]
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}

    def begun() -> Counter[str]:
        return Counter(path.name.split("-")[0] for path in (folder / "begun").iterdir())

    first = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    second = None
    try:
        until(lambda: len(list((folder / "sweep").glob("*.cell"))) == 4 and all(begun()[str(cell)] for cell in HELD))
        first.send_signal(signal.SIGKILL)
        first.wait(LONG)
        before = begun()
        workers = {int(path.name.rsplit("-", 1)[1]) for path in (folder / "begun").iterdir()}
        kept = sorted(path.name for path in (folder / "sweep").iterdir())
        deadline = time.monotonic() + LONG
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        orphans = [pid for pid in workers if alive(pid)]
        (folder / "gate").touch()
        second = subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, errors = second.communicate(timeout=LONG)
        yield Lives(before, kept, orphans, begun(), json.loads(out.splitlines()[-1]), errors)
    finally:
        for process in (first, second):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_was_finished_when_the_client_was_killed_is_kept(lives: Lives) -> None:
    assert lives.before == {str(cell): 1 for cell in range(6)}
    assert len(lives.kept) == 4 + 1
    assert "sweep.json" in lives.kept


def test_the_workers_of_a_client_that_was_killed_end(lives: Lives) -> None:
    assert lives.orphans == []


def test_only_what_is_missing_is_run_again(lives: Lives) -> None:
    again = lives.after - lives.before
    assert {cell: again[str(cell)] for cell in range(6)} == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1}


def test_a_worker_that_is_killed_costs_its_own_cell_once(lives: Lives) -> None:
    assert lives.after[str(DIES_ONCE)] == 2
    assert lives.after[str(DIES)] == 2
    assert lives.result["values"] == [0, 10, 20, 30, 40, 50, 60, None]
    assert lives.result["reasons"] == [*[""] * 7, "killed its worker twice"]
    assert (lives.result["state"], lives.result["notes"]) == ("finished", [])


def test_nothing_of_it_is_printed(lives: Lives) -> None:
    assert lives.errors == ""


def test_a_script_without_its_guard_is_told_of_it(tmp_path: Path, root: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from nbtoolkit.bridges.dask import map_runs\n"
        "try:\n"
        "    map_runs(lambda n: n, {'n': [1]}, workers=1).wait()\n"
        "except Exception as error:\n"
        "    print(error)\n"
        "    raise\n"
    )
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=env, timeout=LONG, capture_output=True, text=True
    )
    assert ended.returncode == 1
    said = ended.stdout.splitlines()[-1]
    assert said.startswith("the sweep '<lambda>' ended early: the workers did not start (")
    assert said.endswith("put what starts them under `if __name__ == '__main__':`.")
