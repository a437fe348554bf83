"""A Trainer of Transformers and a loop of Accelerate, unwatched and watched, in the processes of one job."""

import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn

import nbtoolkit
from nbtoolkit import instruments
from nbtoolkit.bridges.transformers import LandscapeCallback
from tests.bridges import test_accelerate as accelerated
from tests.bridges import test_transformers as transformed
from tests.ranks.launch import joined, leave

SHARP = instruments.sharpness.using(every=4)
FREE: dict[str, Any] = {"budget": float("inf")}
FOR_EVER = 10_000  # epochs
STEPS = 3  # after which it is to stop


def llama() -> nn.Module:
    """With attention that has a second derivative."""
    model = transformed.llama()
    model.set_attn_implementation("eager")
    return model


def tensors(model: nn.Module, optimizer: Any) -> list[Tensor]:
    """Weights, and the optimizer's state."""
    own = [part for held in optimizer.state_dict()["state"].values() for part in held.values()]
    return [one.clone() for one in (*model.state_dict().values(), *own)]


def told(run: nbtoolkit.Run | None) -> dict[str, Any]:
    assert run is not None
    return {
        "data": run.data.to_dict(), "notes": run.notes, "state": run.state, "step": run.step,
        "appends": run.appender is not None,
    }  # fmt: skip


def with_trainer(folder: Path) -> None:
    callback = LandscapeCallback(instruments=[*transformed.MEASURED, SHARP], store=folder / "trainer.zarr", **FREE)
    states = []
    for callbacks in ([], [callback]):
        trained: Any = transformed.trainer(folder / "out", *callbacks, model=llama())
        trained.train()
        states.append(tensors(trained.model, trained.optimizer))
    leave("trainer", {**told(callback.run), "same": all(map(torch.equal, *states))})


def stopped(folder: Path, rank: int) -> None:
    """The first process alone asks for an end, as a Board does."""
    callback = LandscapeCallback(instruments=[instruments.loss])

    def ask() -> None:
        if rank == 0:
            threading.Thread(target=transformed.began(callback).stop, daemon=True).start()

    trained = transformed.trainer(
        folder / "out", callback, transformed.At(STEPS, ask), num_train_epochs=FOR_EVER, logging_strategy="no"
    )
    output = trained.train()
    leave("stopped", {**told(callback.run), "steps": output.global_step})


def with_accelerate() -> None:
    """With two batches of each process in a step."""
    states, run = [], None
    for watches in (False, True):
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
        model, optimizer, data = accelerator.prepare(*pieces())
        if watches:
            run = nbtoolkit.watch(model, optimizer, instruments=accelerated.MEASURED)
        accelerated.train(model, optimizer, data, accelerator)
        states.append(tensors(model, optimizer))
    assert run is not None
    run.detach()
    leave("accelerate", {**told(run), "same": all(map(torch.equal, *states))})


def pieces() -> tuple[nn.Module, torch.optim.Optimizer, Any]:
    """Without random numbers, which each process draws for its own part."""
    model, optimizer, data = accelerated.pieces()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model, optimizer, data


def main(folder: Path) -> None:
    with joined() as (rank, count):
        os.environ["LOCAL_WORLD_SIZE"] = str(count)
        with_trainer(folder)
        stopped(folder, rank)
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        with_accelerate()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
