"""Starts the processes of a job on this machine, as torchrun would, and never leaves one behind.

A script calls `joined()` first, works, and may leave results in the folder of the job by `leave(name, result)`. What
takes long to load and all processes need is named in the environment as ``NEEDED``.
"""

import contextlib
import datetime
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

SCRIPTS = Path(__file__).resolve().parent
LIMIT_SECONDS = 100.0  # after which a job is killed
TRAINING_SECONDS = 20.0  # the training's own time limit for its collectives


class Job:
    """Processes that run the same script, forked from one that has loaded what all need.

    Args:
        script: its name in this folder.
        count: of processes.
        folder: where they meet and leave results.
        args: of the script.
    """

    def __init__(self, script: str, count: int, folder: Path, *args: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, count
        root = str(SCRIPTS.parent.parent)
        env = {**os.environ, "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1", "JOB": str(folder), "PYTHONPATH": root}
        command = [sys.executable, "-m", "tests.ranks.launch", str(SCRIPTS / script), *args]
        with open(folder / "said", "wb") as said:
            self.parent = subprocess.Popen(command, env=env, cwd=root, stdout=said, stderr=said, start_new_session=True)

    def wait(self, limit: float = LIMIT_SECONDS) -> list[int]:
        """Exit codes; whoever is not done in time is killed, which is one."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.parent.wait(limit)
        self.kill()
        codes = {rank: self.folder / f"code{rank}" for rank in range(self.count)}
        return [int(path.read_text()) if path.exists() else -signal.SIGKILL for path in codes.values()]

    def kill(self) -> None:
        """End what still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.parent.pid, signal.SIGKILL)
        self.parent.wait()

    def said(self, rank: int) -> str:
        """What a process has printed, or the one that they come from."""
        own = self.folder / f"said{rank}"
        return own.read_text() if own.exists() else (self.folder / "said").read_text()

    def left(self, name: str, rank: int = 0) -> Any:
        """What a process has left."""
        return torch.load(self.folder / f"{name}{rank}.pt", weights_only=False)

    def done(self) -> "Job":
        """Wait for an end without errors."""
        codes = self.wait()
        wrong = [rank for rank, code in enumerate(codes) if code]
        assert not wrong, f"ranks {wrong} ended with {codes}:\n" + "\n".join(self.said(rank) for rank in wrong)
        return self


@contextlib.contextmanager
def joined() -> Iterator[tuple[int, int]]:
    """Within a script: the default process group, on a key-value store at a free port; gives rank and count."""
    torch.set_num_threads(1)
    rank, count, folder = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), Path(os.environ["JOB"])
    limit = datetime.timedelta(seconds=TRAINING_SECONDS)
    place = folder / "port"
    if rank == 0:
        store = dist.TCPStore("127.0.0.1", 0, count, is_master=True, timeout=limit, wait_for_workers=False)
        place.with_suffix(".new").write_text(json.dumps(store.port))
        place.with_suffix(".new").rename(place)
    else:
        end = time.monotonic() + 60
        while not place.exists() and time.monotonic() < end:
            time.sleep(0.01)
        port = json.loads(place.read_text())
        store = dist.TCPStore("127.0.0.1", port, count, is_master=False, timeout=limit)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=limit)
    try:
        yield rank, count
    finally:
        dist.destroy_process_group()


def leave(name: str, result: Any) -> None:
    """Within a script: leave a result for the test."""
    path = Path(os.environ["JOB"]) / f"{name}{os.environ['RANK']}.pt"
    torch.save(result, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


def fork(script: str, args: list[str]) -> None:
    """Run the script in as many processes as there are to be, and leave how each has ended."""
    folder, pids = Path(os.environ["JOB"]), {}
    for rank in range(int(os.environ["WORLD_SIZE"])):
        pid = os.fork()
        if pid == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            with open(folder / f"said{rank}", "wb", buffering=0) as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            sys.argv = [script, *args]
            runpy.run_path(script, run_name="__main__")
            sys.exit()  # as a script ends: with all that is done then
        pids[pid] = rank
    while pids:
        pid, status = os.wait()
        (folder / f"code{pids.pop(pid)}").write_text(str(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    import torch.distributed.fsdp

    import nbtoolkit.capture.watch  # noqa: F401

    for name in os.environ.get("NEEDED", "").split():
        importlib.import_module(name)
    fork(sys.argv[1], sys.argv[2:])
