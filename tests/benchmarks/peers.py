"""Other loggers, each given the same values at each step: loss, learning rate, gradient norm of each parameter."""

# pyright: reportMissingImports=false
# The loggers come with the bench group alone.

import contextlib
import importlib.util
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from tests.benchmarks.interleave import Side, Step
from tests.benchmarks.problems import Problem

REDRAW_SECONDS = 0.5

Log = Callable[[dict[str, float], int], None]


def available() -> dict[str, Side]:
    """Those that are installed; each other one is named in a printed line."""
    peers = {
        "tensorboard": ("TensorBoard", tensorboard),
        "wandb": ("wandb, offline", wandb),
        "trackio": ("trackio", trackio),
        "livelossplot": (f"livelossplot, redrawn each {REDRAW_SECONDS} s", livelossplot),
    }
    for module in peers:
        if importlib.util.find_spec(module) is None:
            print(f"left out: {module} is not installed")
    return {name: logged(make) for module, (name, make) in peers.items() if importlib.util.find_spec(module)}


def logged(make: Callable[[Path], "contextmanager[Log]"]) -> Side:  # type: ignore[type-arg]
    """A loop that hands its numbers to a logger, with one copy to the host for all gradient norms."""

    @contextmanager
    def side(problem: Problem) -> Iterator[Step]:
        names = [f"grad_norm/{name}" for name, _ in problem.model.named_parameters()]
        count = 0
        with tempfile.TemporaryDirectory() as folder, make(Path(folder)) as log:

            def step() -> None:
                nonlocal count
                loss = problem.step()
                norms = torch._foreach_norm([p.grad for p in problem.model.parameters() if p.grad is not None])
                values = dict(zip(names, torch.stack(norms).tolist(), strict=True))
                log({"loss": loss.item(), "lr": problem.optimizer.param_groups[0]["lr"], **values}, count)
                count += 1

            yield step

    return side


@contextmanager
def quiet() -> Iterator[None]:
    """What a logger prints is no part of the table."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextmanager
def tensorboard(folder: Path) -> Iterator[Log]:
    """One scalar call a value, as its interface asks for."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def log(values: dict[str, float], step: int) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield log


@contextmanager
def wandb(folder: Path) -> Iterator[Log]:
    """Offline, without capture of the console and of the machine's load."""
    with mock.patch.dict(os.environ, WANDB_SILENT="true"):
        import wandb

        settings = wandb.Settings(mode="offline", console="off", x_disable_stats=True)
        with wandb.init(project="benchmark", dir=folder, settings=settings) as run:
            yield lambda values, step: run.log(values, step=step)


@contextmanager
def trackio(folder: Path) -> Iterator[Log]:
    """Its local store, without its page and the machine's load."""
    with quiet(), mock.patch.dict(os.environ, TRACKIO_DIR=str(folder)):
        import trackio

        trackio.init(project="benchmark", embed=False, auto_log_gpu=False, auto_log_cpu=False)
        try:
            yield lambda values, step: trackio.log(values, step=step)
        finally:
            trackio.finish()


@contextmanager
def livelossplot(folder: Path) -> Iterator[Log]:
    """Its matplotlib picture, drawn anew every now and then."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from livelossplot import PlotLosses

    plot = PlotLosses(outputs=["MatplotlibPlot"])
    drawn = time.perf_counter()

    def log(values: dict[str, float], step: int) -> None:
        nonlocal drawn
        plot.update(values, current_step=step)
        if time.perf_counter() - drawn > REDRAW_SECONDS:
            plot.send()
            plt.close("all")  # as a notebook does with a figure it has shown
            drawn = time.perf_counter()

    yield log
