"""What holds for every test: fixed seeds, one thread, and no skip by accident."""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
NO_SKIP = os.environ.get("NBTOOLKIT_NO_SKIP", "") not in ("", "0")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(autouse=True)
def seeds() -> Iterator[None]:
    """The same random numbers in every order of tests, and sums in the same order on every machine."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global state is what user code draws from
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def nothing_watched() -> Iterator[None]:
    """What a test has left watched is let go of, so that the next one meets torch as it is."""
    yield
    taps: Any = sys.modules.get("nbtoolkit.capture.taps")
    for watcher in (*taps._watchers, *taps._resting) if taps else ():
        taps.remove(watcher)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if item.get_closest_marker("cuda") is None and not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: Any) -> None:
    """With NBTOOLKIT_NO_SKIP=1 what is missing is a failure, so that no check is lost unseen."""
    if NO_SKIP and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"NBTOOLKIT_NO_SKIP is set, and this was skipped: {report.longrepr[-1]}"
