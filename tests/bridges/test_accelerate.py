"""Loops of Accelerate and of Lightning Fabric, which need no bridge: their wrappers are seen through."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.state import AcceleratorState, GradientState
from lightning.fabric import Fabric
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import nbtoolkit
from nbtoolkit import instruments
from nbtoolkit.capture import names
from nbtoolkit.capture.changes import schedules_of
from nbtoolkit.capture.watch import Discovery

pytestmark = pytest.mark.filterwarnings("ignore::Warning:lightning")

MEASURED = [instruments.loss, instruments.grad_norm, instruments.update_ratio.using(every=1)]
Loop = Callable[[Any], None]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def pieces() -> tuple[nn.Module, torch.optim.Optimizer, DataLoader[Any]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3))
    inputs = torch.randn(32, 6)
    data = DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), batch_size=4)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2), data


def train(model: Any, optimizer: Any, data: Any, accelerator: Accelerator) -> None:
    """Accelerate's own example of a loop."""
    torch.manual_seed(1)
    for inputs, targets in data:
        with accelerator.accumulate(model):
            accelerator.backward(F.cross_entropy(model(inputs), targets))
            if accelerator.sync_gradients and accelerator.scaler is None:
                accelerator.clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()
            optimizer.zero_grad()


def plain(model: Any, optimizer: Any, data: Any, accumulate: int, half: Any, scaler: torch.amp.GradScaler) -> None:
    torch.manual_seed(1)
    for index, (inputs, targets) in enumerate(data, 1):
        with torch.autocast("cpu", half, enabled=half is not None):
            logits = model(inputs)
        scaler.scale(F.cross_entropy(logits.float(), targets) / accumulate).backward()
        if index % accumulate == 0:
            scaler.unscale_(optimizer)
            if not scaler.is_enabled():
                nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


CASES = {
    "plain": {"accumulate": 1, "half": None, "scaled": False},
    "accumulated": {"accumulate": 4, "half": None, "scaled": False},
    "bf16": {"accumulate": 2, "half": torch.bfloat16, "scaled": False},
    "scaled": {"accumulate": 2, "half": torch.bfloat16, "scaled": True},
}


def accelerated(case: dict[str, Any]) -> tuple[Any, Any, Any, Accelerator]:
    accelerator = Accelerator(
        cpu=True, gradient_accumulation_steps=case["accumulate"], mixed_precision="bf16" if case["half"] else "no"
    )
    if case["scaled"]:  # which Accelerate itself does on a GPU only
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    return (*accelerator.prepare(*pieces()), accelerator)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_loop_of_accelerate(case: dict[str, Any]) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=case["scaled"])
    model, optimizer, data = pieces()
    with nbtoolkit.watch(model, optimizer, instruments=MEASURED) as expected:
        plain(model, optimizer, data, case["accumulate"], case["half"], scaler)

    unwatched = accelerated(case)
    train(*unwatched)
    model, optimizer, data, accelerator = accelerated(case)
    with nbtoolkit.watch(model, optimizer, instruments=MEASURED) as run:
        train(model, optimizer, data, accelerator)

    assert isinstance(optimizer, AcceleratedOptimizer)
    assert (run.step, run.notes) == (8 // case["accumulate"], [])
    for item in MEASURED:
        for name, values in expected[item.name].items():
            np.testing.assert_allclose(run[item.name][name], values, rtol=1e-6, atol=1e-9, err_msg=str(name))
    for one, other in zip(model.state_dict().values(), unwatched[0].state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_loop_of_accelerate_is_found_by_itself() -> None:
    model, optimizer, data, accelerator = accelerated(CASES["accumulated"])
    with Discovery({"model": model, "optimizer": optimizer}, instruments=MEASURED) as found:
        train(model, optimizer, data, accelerator)
    (run,) = found.runs
    assert found.complaint == ""
    assert run["loss"].step.values.tolist() == [0, 1]
    assert np.isfinite(run["loss"].loss).all()
    assert run["grad_norm"].param.values[0] == "0.weight"


def test_a_wrapper_is_no_other_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    _, wrapper, _, _ = accelerated(CASES["plain"])
    inner = names.innermost(wrapper)
    assert type(inner) is torch.optim.AdamW
    assert names.innermost(inner) is inner
    alive: list[Any] = [inner, wrapper]
    monkeypatch.setattr(gc, "get_objects", lambda: alive)
    assert not names.any_optimizer_besides([inner])
    alive.append(torch.optim.SGD([torch.zeros(1)], 0.1))
    assert names.any_optimizer_besides([inner])


def test_a_schedule_of_a_wrapper_is_one_of_the_optimizer() -> None:
    model, wrapper, data, accelerator = accelerated(CASES["plain"])
    schedule = torch.optim.lr_scheduler.StepLR(wrapper, 100)
    assert schedules_of(names.innermost(wrapper)) == [schedule]
    with nbtoolkit.watch(model, wrapper, instruments=[instruments.lr]) as run:
        run.set_lr(0.5)
        train(model, wrapper, data, accelerator)
        schedule.step()
    assert schedule.get_last_lr() == [0.5]
    assert set(run["lr"].lr.values.ravel()) == {0.5}


def test_an_optimizer_around_another_is_itself() -> None:
    class Lookahead(torch.optim.Optimizer):
        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            super().__init__(optimizer.param_groups, {})
            self.optimizer = optimizer

        def step(self, closure: Any = None) -> Any:
            return self.optimizer.step(closure)

    lookahead = Lookahead(pieces()[1])
    assert names.innermost(lookahead) is lookahead


def test_a_loop_of_fabric() -> None:
    def fabricated() -> tuple[Any, Any, Any, Fabric]:
        fabric = Fabric(accelerator="cpu", devices=1)
        model, optimizer, data = pieces()
        return (*fabric.setup(model, optimizer), data, fabric)

    def fit(model: Any, optimizer: Any, data: Any, fabric: Fabric) -> None:
        torch.manual_seed(1)
        for inputs, targets in data:
            optimizer.zero_grad()
            fabric.backward(F.cross_entropy(model(inputs), targets))
            optimizer.step()

    unwatched, watched = fabricated(), fabricated()
    fit(*unwatched)
    with nbtoolkit.watch(*watched[:2], instruments=MEASURED) as run:
        fit(*watched)
    assert (run.name, run.step) == ("Sequential", 8)
    assert run["grad_norm"].param.values[0] == "0.weight"
    assert np.isfinite(run["loss"].loss).all()
    for one, other in zip(watched[0].state_dict().values(), unwatched[0].state_dict().values(), strict=True):
        assert torch.equal(one, other)
