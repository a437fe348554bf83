"""A server of its own for a test: a free port, and nothing left running afterwards."""

import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

STARTUP_SECONDS = 60
SHUTDOWN_SECONDS = 20


class Server:
    """A process that serves on 127.0.0.1.

    Args:
        name: of what it is.
        work: the folder that it serves.
        log: where it writes.
    """

    def __init__(self, name: str, work: Path, log: Path) -> None:
        self.name, self.work, self.log = name, work, log

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        self.prepare()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # Kernel, server and browser share the cores: threads that spin while they wait would starve the others.
        env = {**self.environment(), "OMP_WAIT_POLICY": "PASSIVE"}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self.command(), cwd=self.work, env=env, stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it and every kernel it started."""
        self.stop()

    def prepare(self) -> None:
        """Make what has to be there when it starts."""

    def command(self) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Of its process."""
        return dict(os.environ)

    def answer(self, path: str, method: str = "GET", **headers: str) -> bytes:
        """What it answers, at once and past any proxy.

        Raises:
            OSError: nothing.
        """
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", method=method, headers=headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=10) as answer:
            return answer.read()

    def alive(self) -> None:
        """Ask it for something; an OSError as long as it is not there."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the server by its own process, then whatever of its children outlived it."""
        family = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.terminate()
        try:
            self._process.wait(SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in family:
            if child.is_running():
                child.kill()
        psutil.wait_procs(family, timeout=SHUTDOWN_SECONDS)

    def _wait(self) -> None:
        for _ in range(STARTUP_SECONDS * 10):
            if self._process.poll() is not None:
                break
            try:
                self.alive()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self.name} did not start; its log ends:\n{self.log.read_text()[-3000:]}")
