"""A job in another process, and a run that follows it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


class Job:
    """A process that trains in a child of its own, again and again; see `tests.capture.job`.

    Args:
        process: with pipes.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.child = 0

    def start(self) -> None:
        """Begin, or go on after a death."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.child = int(self._process.stdout.readline())

    def kill(self) -> int:
        """SIGKILL; how it ended."""
        os.kill(self.child, signal.SIGKILL)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end: -9 killed, 0 finished, 7 stopped."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def job(folder: Path, steps: int, seconds: float = 120) -> Iterator[Job]:
    """A job that is killed at the end of the block, or after some time."""
    command = [sys.executable, "-m", "tests.capture.job", str(folder), str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip

    def end() -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        with process:
            try:
                yield Job(process)
            finally:
                end()
    finally:
        timer.cancel()


def until(true: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait for something; what it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = true()
        if seen:
            return seen
        time.sleep(0.01)
    raise TimeoutError(f"{true} was not true within {seconds} s")
